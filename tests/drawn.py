"""A drawn benchmark small enough for tests."""

import hashlib
from pathlib import Path

import av
import numpy as np

from data_prep.synthetic.forgery import METHODS

SMALL = dict(
    style="a",
    identities={"test": 2},
    frames=12,
    size=96,
    compressions={"test": ("raw", "c23")},
    methods=METHODS,
    seed=3,
    workers=1,
    progress=False,
)


def decode(path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def contents(root) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(root).rglob("*"))
        if path.is_file()
    }
