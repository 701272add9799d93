"""Could the forged data set be won by a shortcut?

    python -m data_prep.forge.shortcut ROOT [COMPRESSION ...]

Features of a video: the file's size, bit rate, duration and number of frames; mean and variance of each channel and
sharpness (variance of the Laplacian) of the whole square and of its inner half, which the face fills. Cross-validated
over the people shown. Prints the area under the ROC curve for each kind and for all together; without a COMPRESSION,
for each that every split has.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import av
import numpy as np

from cpml_jax.errors import UserError
from cpml_jax.schema import FAKE, REAL_METHOD
from data_prep import shortcut, sources
from data_prep.sources import Video

EVERY = 4  # frames, of which one is measured


def statistics(path: str) -> np.ndarray:
    """Features (18,) of one video; of its pictures the mean."""
    rows, count = [], 0
    with av.open(f"file:{path}") as container:
        stream = container.streams.video[0]
        for frame in container.decode(stream):
            if count % EVERY == 0:
                picture = frame.to_ndarray(format="rgb24")
                height, width = picture.shape[:2]
                inner = picture[height // 4 : height - height // 4, width // 4 : width - width // 4]
                rows.append([*shortcut.of_picture(picture), *shortcut.of_picture(inner)])
            count += 1
        seconds = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
    size = os.path.getsize(path)
    return np.array([*np.mean(rows, 0), size, size / max(seconds, 1e-3), seconds, count])


def table(videos: Sequence[Video]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (V, 18), kind of each video (V,) ("" for real), number of the person shown (V,)."""
    people = {name: number for number, name in enumerate(sorted({one.identity for one in videos}))}
    methods = np.array([one.method if one.method != REAL_METHOD else "" for one in videos])
    return np.stack([statistics(v.path) for v in videos]), methods, np.array([people[v.identity] for v in videos])


def shortcut_auc(root: str, compression: str, folds: int = 5, repeats: int = 4) -> dict[str, float]:
    """Area under the ROC curve on people that were held out: see shortcut.auc_by_method."""
    videos = sources.list_videos("forged", root, compressions=(compression,))
    if not any(one.label == FAKE for one in videos):
        raise UserError(f"{root} holds no forged videos at {compression}")
    return shortcut.auc_by_method(*table(videos), folds, repeats)


def compressions_of(root: str) -> list[str]:
    """Those that every split has, the best first."""
    videos = sources.list_videos("forged", root)
    splits = {one.split for one in videos}
    names = sources.available(videos)["compressions"]
    return [name for name in names if {one.split for one in videos if one.compression == name} == splits]


def main(arguments: list[str]) -> int:
    return shortcut.run(arguments, "data_prep.forge.shortcut", shortcut_auc, compressions_of)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
