"""Roots on the Hugging Face hub: hf://datasets/OWNER/NAME[@REVISION][/SUBFOLDER].

The grammar is huggingface_hub's own (its page "HF URIs"). Files go to the hub's cache, which HF_HOME moves; the other
variables of the hub hold, too (HF_HUB_OFFLINE, HF_TOKEN, HF_ENDPOINT, ...).
"""

from __future__ import annotations

import dataclasses
import functools
import glob
import os
import posixpath
import re
import sys
from pathlib import Path

from cpml_jax.errors import UserError

FORM = "hf://datasets/OWNER/NAME[@REVISION][/SUBFOLDER]"
SCHEME = re.compile(r"[A-Za-z][\w+.-]+:/")  # of two letters or more: C:/videos is a folder
TABLE = ".csv"  # a list of videos: its paths are relative to its folder, which is downloaded with it


@dataclasses.dataclass(frozen=True)
class Address:
    """A data set of the hub, or a part of it.

    Attributes:
      text: as the user wrote it.
      repository: OWNER/NAME.
      revision: a branch, a tag or a commit; None: the main branch.
      path: of a folder, or a CSV file, in the repository; "" for all of it.
    """

    text: str
    repository: str
    revision: str | None
    path: str

    def patterns(self) -> list[str] | None:
        """Which files are needed, as patterns whose * passes a slash; None: all."""
        folder = posixpath.dirname(self.path) if self.path.endswith(TABLE) else self.path
        return [f"{glob.escape(folder)}/*"] if folder else None


def is_address(root: str | os.PathLike[str]) -> bool:
    """Whether a root is written as an address, of the hub or of anything else, and not as a path on the disk."""
    return bool(SCHEME.match(str(root)))


def parse(root: str | os.PathLike[str]) -> Address:
    """The parts of an address.

    Raises:
      UserError: it is malformed, or not of a data set on the hub; or huggingface_hub is not installed.
    """
    text = str(root)
    try:
        from huggingface_hub import parse_hf_uri
        from huggingface_hub.errors import HfUriError
    except ImportError:
        raise UserError(
            f"{text!r} needs the package 'huggingface_hub': `pip install huggingface_hub`, or give a folder"
        ) from None
    wanted = f"a root is a folder, a CSV file, or {FORM}"
    try:
        parts = parse_hf_uri(text)
    except HfUriError as error:
        reason = error.msg.strip().rstrip(".") if text.startswith("hf://") else "no address of the hub"
        raise UserError(f"{text!r}: {reason}; {wanted}") from None
    if parts.type != "dataset":
        raise UserError(f"{text!r}: of a {parts.type}, not of a data set; {wanted}")
    if not text.startswith("hf://"):
        raise UserError(f"{text!r}: write it as {parts.to_uri()}")
    if {".", ".."} & set(parts.path_in_repo.split("/")):
        raise UserError(f"{text!r}: no . or .. in it; {wanted}")
    return Address(text, parts.id, parts.revision, parts.path_in_repo)


def check(key: str, root: str | os.PathLike[str]) -> None:
    """Refuse what is no path and no address either, naming its key. Raises UserError as parse does."""
    if is_address(root):
        try:
            parse(root)
        except UserError as error:
            raise UserError(f"{key}={error}") from None


def local(root: str | os.PathLike[str]) -> str:
    """The folder, or CSV file, on this machine: a path as it is; what an address names, downloaded.

    Raises:
      UserError: as parse does, or the hub cannot be reached or does not give it.
    """
    return fetch(parse(root)) if is_address(root) else str(root)


@functools.cache
def fetch(address: Address) -> str:
    """Download what the cache lacks, and say which commit it is. Stopped, it goes on with the file it was at.

    Returns:
      The path in the hub's cache, where files are links.

    Raises:
      UserError: in one line, why not.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HTTPError

    try:
        snapshot = Path(
            snapshot_download(
                address.repository,
                repo_type="dataset",
                revision=address.revision,
                allow_patterns=address.patterns(),
            )
        )
    # RuntimeError: of hf_xet, which transfers large files.
    except (OSError, ValueError, HTTPError, RuntimeError) as error:
        raise UserError(f"{address.text}: not downloaded: {why(error, address)}") from None
    path = snapshot / address.path
    if not path.exists():
        raise UserError(f"{address.text}: {address.path!r} is no folder or CSV file of commit {snapshot.name}")
    print(f"{address.text}: commit {snapshot.name}, in {path}", file=sys.stderr)
    return str(path)


def why(error: Exception, address: Address) -> str:
    """What huggingface_hub's exception means for the user, and what to do, in one line."""
    from huggingface_hub import errors

    page = f"https://huggingface.co/datasets/{address.repository}"
    match error:
        case errors.GatedRepoError():
            return f"its owner gives it on request: accept the conditions at {page}, then `hf auth login`"
        case errors.RepositoryNotFoundError():
            return f"no data set {address.repository} on the hub, or a private one (then `hf auth login`)"
        case errors.RevisionNotFoundError():
            return f"it has no revision {address.revision!r}; {page}/tree/main lists them"
        case errors.LocalEntryNotFoundError():
            if errors.OfflineModeIsEnabled in causes(error):
                return "HF_HUB_OFFLINE is set, and the hub's cache has not all of it; unset that, or give a folder"
            return (
                f"the hub cannot be reached, and its cache has not all of it ({first_line(error.__cause__ or error)}); "
                "try again with a network, or give a folder"
            )
        case OSError(errno=int(), strerror=str(problem)):  # the disk is full, the cache may not be written to
            return f"{problem} ({error.filename or 'the cache of the hub'}); HF_HOME moves the cache to another disk"
    return f"{first_line(error)}; the same command goes on where it stopped"


def causes(error: BaseException | None) -> set[type[BaseException]]:
    """Types of an exception and of what it was raised from."""
    found = set()
    while error is not None and type(error) not in found:
        found.add(type(error))
        error = error.__cause__
    return found


def first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
