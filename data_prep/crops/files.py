"""The files of ready-made crops: numbered images and a text file of landmarks, read and checked."""

from __future__ import annotations

import os
import re
from pathlib import Path

import cv2
import numpy as np

from cpml_jax.errors import UserError
from cpml_jax.schema import FRAME_RATE, NUM_LANDMARKS
from data_prep.sources import Video
from data_prep.video.reader import StreamInfo

CODECS = {".jpg": "mjpeg", ".jpeg": "mjpeg", ".png": "png", ".bmp": "bmp"}  # suffix -> FFmpeg's name
NUMBERS = 2 * NUM_LANDMARKS


def frame_files(folder: Path) -> list[Path]:
    """Images in order of their numbers, which start at 0 or 1 without gaps."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder of crops")
    numbered: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in CODECS and re.fullmatch(r"[0-9]{1,9}", path.stem):
            if numbered.setdefault(int(path.stem), path) != path:
                raise UserError(f"{folder}: {numbered[int(path.stem)].name} and {path.name} have the same number")
    if not numbered:
        raise UserError(f"{folder}: no crops in it; they are images named by number, like 0000.jpg")
    start = 0 if 0 in numbered else 1
    missing = sorted(set(range(start, max(numbered) + 1)) - numbered.keys())
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        shown = ", ".join(str(number) for number in missing[:3])
        raise UserError(f"{folder}: the crops are not contiguous: {shown}{more} of {max(numbered)} are missing")
    return [numbered[number] for number in sorted(numbered)]


def read_landmarks(path: Path) -> np.ndarray:
    """(N, 68, 2) float64 in the file's unit; NaN for a frame without landmarks."""
    try:
        lines = path.read_text().rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: landmarks cannot be read ({getattr(error, 'strerror', None) or 'not text'})"
        ) from None
    rows = np.empty((len(lines), NUMBERS))
    for index, line in enumerate(lines):
        fields = line.replace(",", " ").split()
        if len(fields) != NUMBERS:
            raise UserError(f"{path}, line {index + 1}: {len(fields)} numbers, a line of landmarks has {NUMBERS}")
        try:
            rows[index] = [float(field) for field in fields]
        except ValueError:
            raise UserError(f"{path}, line {index + 1}: a landmark coordinate is not a number") from None
    unknown = ~np.isfinite(rows).all(axis=1) | ~rows.any(axis=1)
    rows[unknown] = np.nan
    return rows.reshape(-1, NUM_LANDMARKS, 2)


def read_image(path: Path) -> tuple[np.ndarray, bytes | None]:
    """(H, W, 3) uint8 RGB, and the file's bytes if they are a JPEG in colour, which records take as they are."""
    data = path.read_bytes()
    jpeg = data.startswith(b"\xff\xd8")
    # OpenCV fills the lost half of a cut JPEG with grey and only warns.
    cut_off = jpeg and b"\xff\xd9" not in data[-4096:]
    try:
        image = None if cut_off or not data else cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_ANYCOLOR)
    except cv2.error:  # more pixels than OPENCV_IO_MAX_IMAGE_PIXELS (cpml_jax/__init__.py)
        image = None
    if image is None:
        raise UserError(f"{path.name} {'is cut off' if cut_off else 'cannot be read as an image'}")
    if image.ndim == 2:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB), None
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB), data if jpeg else None


def stream_info(folder: str | Path) -> StreamInfo:
    """A record's fields about its source: the images' size and coding, at 30 frames/s."""
    files = frame_files(Path(folder))
    height, width = read_image(files[0])[0].shape[:2]
    size = sum(file.stat().st_size for file in files)
    codec = CODECS[files[0].suffix.lower()]
    return StreamInfo(FRAME_RATE, height, width, codec, 8 * size / len(files) * FRAME_RATE)


def state(video: Video) -> tuple[int, int, int]:
    """(number of files, bytes, latest change in ns) of a folder and its landmarks: work is reused only for the same."""
    try:
        stats = [entry.stat() for entry in os.scandir(video.path)] + [os.stat(video.crop_landmarks)]
    except OSError:
        return (0, 0, 0)  # opening it will give the reason
    return len(stats) - 1, sum(s.st_size for s in stats), max(s.st_mtime_ns for s in stats)
