"""SHA-256 of every file of a checkpoint, beside it in the format of sha256sum: what was saved is what is read.

Written once the checkpoint is complete; a run killed between the two leaves a checkpoint without, and so did earlier
versions. Such a one is used, and a line says that nothing could be compared.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from cpml_jax.files import write_whole

SUFFIX = ".sha256"


def path_of(folder: Path, step: int) -> Path:
    """Of a step's checksums in the folder of the checkpoints."""
    return folder / f"{step}{SUFFIX}"


def write(folder: Path, step: int) -> None:
    """Checksums of <folder>/<step>; those of checkpoints that are gone are removed."""
    names = sorted(path.relative_to(folder).as_posix() for path in (folder / str(step)).rglob("*") if path.is_file())
    write_whole(path_of(folder, step), "".join(f"{digest(folder / name)}  {name}\n" for name in names))
    for path in folder.glob(f"*{SUFFIX}"):
        if not (folder / path.name.removesuffix(SUFFIX)).is_dir():
            path.unlink(missing_ok=True)


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def damage(folder: Path, step: int, *, up_to: float = float("inf")) -> str | None:
    """What of a checkpoint is not as it was saved, "FILE: what"; None where all is, or nothing says how it was.

    up_to: bytes of the largest file whose content is compared; larger ones are only looked for.
    """
    listed = path_of(folder, step)
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
        # Nothing outside the checkpoint is opened on this file's word.
        if line is None or os.path.isabs(line[2]) or Path(line[2]).parts[0] != str(step) or ".." in Path(line[2]).parts:
            return f"{listed}: damaged"
        path = folder / line[2]
        try:
            size = path.stat().st_size
            if size <= up_to and digest(path) != line[1]:
                return f"{path}: {'damaged' if size else 'empty'}"
        except FileNotFoundError:
            return f"{path}: missing"
        except OSError as error:
            return f"{path}: not readable ({error.strerror})"
    return None
