"""The checksums of a checkpoint (sums.py): <step>.sha256 beside <step>/.

Written once the checkpoint is complete. One without is used, and a line says that nothing could be compared.
"""

from __future__ import annotations

from pathlib import Path

from cpml_jax import sums
from cpml_jax.sums import SUFFIX


def path_of(folder: Path, step: int) -> Path:
    """Of a step's checksums in the folder of the checkpoints."""
    return folder / f"{step}{SUFFIX}"


def write(folder: Path, step: int) -> None:
    """Checksums of <folder>/<step>; those of checkpoints that are gone are removed."""
    files = [path for path in (folder / str(step)).rglob("*") if path.is_file()]
    sums.write(path_of(folder, step), [path.relative_to(folder).as_posix() for path in files])
    for path in folder.glob(f"*{SUFFIX}"):
        step_of = path.name.removesuffix(SUFFIX)
        if step_of.isdigit() and not (folder / step_of).is_dir():
            path.unlink(missing_ok=True)


def damage(folder: Path, step: int, *, up_to: float = float("inf")) -> str | None:
    """What of a checkpoint is not as it was saved (sums.damage)."""
    return sums.damage(path_of(folder, step), up_to=up_to, inside=str(step))
