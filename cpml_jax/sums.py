"""SHA-256 of files, beside them in the format of sha256sum: what was written is what is read.

The list is written once its files are complete: a run killed between leaves files without one, and so did earlier
versions. Such files are used, since nothing says how they were.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from cpml_jax.files import write_whole

SUFFIX = ".sha256"


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(listed: Path, names: Collection[str], coming: Mapping[str, str] | None = None) -> None:
    """Write the list of these files, relative to its folder; those that are not there are left out.

    coming: name -> text of files that are written later, because their being there says that all is finished.
    """
    folder = listed.parent
    found = {name: digest(folder / name) for name in names if (folder / name).is_file()}
    found |= {name: hashlib.sha256(text.encode()).hexdigest() for name, text in (coming or {}).items()}
    write_whole(listed, "".join(f"{found[name]}  {name}\n" for name in sorted(found)))


@contextlib.contextmanager
def renewed(listed: Path, names: Collection[str]) -> Iterator[None]:
    """Files that the block writes get a new list when it ends; until then, and where it is killed, they have none."""
    listed.unlink(missing_ok=True)
    yield
    write(listed, names)


def damage(listed: Path, *, up_to: float = float("inf"), inside: str = "", gone: bool = True) -> str | None:
    """What of the listed files is not as it was written, "FILE: what"; None where all is, or there is no list.

    Args:
      listed: of `write`; names in it are relative to its folder.
      up_to: bytes of the largest file whose content is compared; larger ones are only looked for.
      inside: the folder that every name must lie in.
      gone: whether a file that is not there counts.
    """
    try:
        text = listed.read_text()
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return f"{listed}: not readable"
    lines = [re.fullmatch(r"([0-9a-f]{64})  (.+)", line) for line in text.splitlines()]
    if not lines or not text.endswith("\n"):
        return f"{listed}: cut off"
    for line in lines:
        # Nothing outside the folder is opened on this file's word.
        if line is None or os.path.isabs(line[2]) or ".." in (parts := Path(line[2]).parts):
            return f"{listed}: damaged"
        if inside and parts[0] != inside:
            return f"{listed}: damaged"
        path = listed.parent / line[2]
        try:
            size = path.stat().st_size
            if size <= up_to and digest(path) != line[1]:
                return f"{path}: {'damaged' if size else 'empty'}"
        except FileNotFoundError:
            if gone:
                return f"{path}: missing"
        except OSError as error:
            return f"{path}: not readable ({error.strerror})"
    return None
