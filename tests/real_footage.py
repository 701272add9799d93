"""Drawn videos in place of real footage: a folder of people, and of files that cannot be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from drawn import decode
from odd.encoder import encode
from odd.makers import turned

from data_prep.synthetic.generate import generate

LENGTH, SIDE = 40, 192  # frames, pixels
PEOPLE = ("anna_1", "ben", "cleo", "dan/one", "half_rate", "phone")
USELESS = {  # file -> what the reason holds
    "border.mp4": "face",
    "empty.mp4": "empty",
    "noise.mp4": "no face",
    "short.mp4": "32",
    "text.mp4": "",
    "two.mp4": "two faces",
}
FORGED = dict(
    kinds=("swap", "selfblend"),
    copies=dict(train=1, val=1, test=1),
    compressions=dict(train=("raw", "c23"), val=("raw", "c23"), test=("raw", "c23", "c23+c28")),
    frames=32,
    size=96,
    seed=3,
    workers=1,
    progress=False,
)


def write(root: Path, scratch: Path) -> Path:
    """A folder with PEOPLE, one of 15 frames/s and one held upright, and USELESS."""
    generate(
        str(scratch), style="a", identities={"test": len(PEOPLE)}, frames=LENGTH, size=SIDE,
        compressions={"test": ("raw",)}, methods=(), seed=9, workers=1, progress=False,
    )  # fmt: skip
    drawn = sorted((scratch / "original_sequences/youtube/raw/videos").glob("*.mp4"))
    root.mkdir()
    (root / "dan").mkdir()
    for name, path in zip(PEOPLE, drawn, strict=True):
        path.rename(root / f"{name}.mp4")
    encode_again(root / "half_rate.mp4", lambda path, frames: encode(path, frames[::2], rate=15))
    encode_again(root / "phone.mp4", turned(90))
    anna, ben = (decode(root / f"{name}.mp4") for name in PEOPLE[:2])
    encode(root / "short.mp4", list(anna[:12]))
    encode(root / "two.mp4", list(np.concatenate([anna, ben], axis=2)))
    encode(root / "border.mp4", list(np.ascontiguousarray(anna[:, :, 66:])))
    noise = np.random.default_rng(0).integers(0, 255, (LENGTH, 24, 24, 3), dtype=np.uint8)
    encode(root / "noise.mp4", list(noise.repeat(4, axis=1).repeat(4, axis=2)))
    (root / "empty.mp4").write_bytes(b"")
    (root / "text.mp4").write_text("no video")
    (root / "notes.txt").write_text("not even by its name")
    return root


def encode_again(path: Path, make) -> None:
    """Replace a video by what make(path, its frames) writes."""
    frames = list(decode(path))
    path.unlink()
    make(path, frames)
