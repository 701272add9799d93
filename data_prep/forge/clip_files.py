"""What a worker writes: the square of a real video, and a real clip with its forgeries. Each file whole or not at all.

Nothing large waits: a worker holds a target, the clip that lends to it, and one forgery of them at a time, some 100 MB
at 132 frames of 256x256.
"""

from __future__ import annotations

import dataclasses
import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from cpml_jax.errors import UserError
from cpml_jax.files import parse_json, write_json, write_whole
from cpml_jax.schema import FRAME_RATE, REAL_METHOD
from data_prep.forge.clip import Forged, RealClip
from data_prep.forge.kinds import forge_clip
from data_prep.forge.listing import RealVideo
from data_prep.forge.plan import Forgery
from data_prep.forge.square import Square, find_square, read_square
from data_prep.video.encode import encode

MASK_COMPRESSION = "raw"  # of masks: their borders stay where they are


@dataclasses.dataclass(frozen=True)
class SquareTask:
    """A real video whose square is to be found."""

    root: str
    real: RealVideo
    frames: int
    size: int

    @property
    def file(self) -> Path:
        return square_file(self.root, self.real)


@dataclasses.dataclass(frozen=True)
class ClipTask:
    """A real clip and its forgeries, to be written at some compressions."""

    root: str
    real: RealVideo
    forgeries: tuple[Forgery, ...]
    compressions: tuple[str, ...]

    def real_paths(self) -> dict[str, str]:
        """Of the real clip, by compression."""
        return video_paths(self.root, REAL_METHOD, self.real.video, self.compressions)

    def paths(self, forgery: Forgery) -> dict[str, str]:
        """Of a forged clip, by compression."""
        return video_paths(self.root, forgery.kind, forgery.name, self.compressions)

    def files(self) -> list[str]:
        """Every file of it; those of a forgery that could not be made are not there."""
        files = [*self.real_paths().values(), str(square_file(self.root, self.real))]
        for forgery in self.forgeries:
            files += [*self.paths(forgery).values(), mask_path(self.root, forgery)]
            files.append(str(parameters_file(self.root, forgery)))
        return files

    def missing(self) -> list[str]:
        """The files that are not there yet. A forgery that could not be made has its parameters alone."""
        wanted = list(self.real_paths().values())
        for forgery in self.forgeries:
            parameters = parameters_file(self.root, forgery)
            if not (parameters.is_file() and refusal(parameters)):
                wanted += [*self.paths(forgery).values(), mask_path(self.root, forgery), str(parameters)]
        return [path for path in wanted if not os.path.exists(path)]


def video_paths(root: str, method: str, name: str, compressions: tuple[str, ...]) -> dict[str, str]:
    return {one: os.path.join(root, method, one, f"{name}.mp4") for one in compressions}


def mask_path(root: str, forgery: Forgery) -> str:
    return os.path.join(root, "masks", forgery.kind, f"{forgery.name}.mp4")


def parameters_file(root: str, forgery: Forgery) -> Path:
    return Path(root) / "parameters" / forgery.kind / f"{forgery.name}.json"


def square_file(root: str, real: RealVideo) -> Path:
    return Path(root) / "squares" / f"{real.video}.npz"


def refusal(parameters: Path) -> str:
    """Why a forgery could not be made; "" if it was."""
    return parse_json(parameters.read_text()).get("refused", "")


def find(task: SquareTask) -> None:
    """Write the square of a video, or why it has none."""
    try:
        arrays = find_square(task.real.path, frames=task.frames, size=task.size).arrays()
    except UserError as error:
        arrays = {"reason": np.array(str(error))}
    except Exception as error:  # no single file may stop thousands: it is listed with its error
        arrays = {"reason": np.array(f"unexpected {type(error).__name__}: {str(error)[:200]}")}
    data = io.BytesIO()
    np.savez(data, allow_pickle=False, **arrays)
    task.file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(task.file, data.getvalue())


def read(file: Path) -> Square | str:
    """A video's square, or the reason why it has none.

    Raises:
      UserError: the file is damaged.
    """
    try:
        with np.load(file) as arrays:
            return str(arrays["reason"]) if "reason" in arrays else Square.of(arrays)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        raise UserError(f"{file}: not readable; delete it and start the same command again") from None


def clip_of(root: str, real: RealVideo) -> RealClip:
    """A real video's clip, decoded.

    Raises:
      UserError: it can no longer be read, or never could.
    """
    square = read(square_file(root, real))
    if isinstance(square, str):
        raise UserError(f"{real.path}: {square}")
    try:
        return read_square(real.path, square, video=real.video, identity=real.identity)
    except UserError as error:
        raise UserError(f"{real.path}: {error}") from None


def write(task: ClipTask) -> None:
    """Write what is missing of a real clip, then of each of its forgeries, so that none is there without it.

    Raises:
      UserError: a real video can no longer be read.
    """
    cv2.setNumThreads(1)  # the workers are the parallelism
    if not task.missing():
        return
    target = clip_of(task.root, task.real)
    write_video(task.real_paths(), target.frames)
    for forgery in task.forgeries:
        alone = dataclasses.replace(task, forgeries=(forgery,))
        if alone.missing():
            write_forgery(alone, forgery, target)


def write_forgery(task: ClipTask, forgery: Forgery, target: RealClip) -> None:
    """Write a forgery's mask and videos, then its parameters; where it cannot be made, the reason in their place."""
    source = clip_of(task.root, forgery.source)
    about = dict(kind=forgery.kind, target=forgery.target.video, source=forgery.source.video, seed=forgery.seed)
    file = parameters_file(task.root, forgery)
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        forged = checked(forge_clip(forgery.kind, target, source, forgery.seed), target)
    except UserError as error:
        write_json(file, about | {"refused": str(error)})
        return
    except Exception as error:  # no single clip may stop thousands
        write_json(file, about | {"refused": f"unexpected {type(error).__name__}: {str(error)[:200]}"})
        return
    masks = np.repeat(forged.mask[..., None], 3, axis=-1)
    write_video({MASK_COMPRESSION: mask_path(task.root, forgery)}, masks)
    write_video(task.paths(forgery), forged.frames)
    write_json(file, about | {"parameters": forged.parameters})


def checked(forged: Forged, target: RealClip) -> Forged:
    """Raise ValueError unless a forgery lies over its target, frame by frame."""
    if forged.frames.shape != target.frames.shape or forged.mask.shape != target.frames.shape[:3]:
        raise ValueError(f"shapes {forged.frames.shape}, {forged.mask.shape} for {target.frames.shape}")
    return forged


def write_video(paths: Mapping[str, str], frames: np.ndarray) -> None:
    """What is missing of one clip's files; real and forged pass here alike.

    Args:
      paths: by compression. frames: (T, S, S, 3) uint8 RGB.
    """
    todo = {compression: path for compression, path in paths.items() if not os.path.exists(path)}
    if todo:
        encode([todo], ([frame] for frame in frames), frames.shape[1], round(FRAME_RATE))
