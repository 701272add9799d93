"""Could the benchmark be won by a shortcut? Logistic regression on simple statistics of a clip.

    python -m data_prep.synthetic.shortcut ROOT [COMPRESSION ...]

Features of a video: mean and variance of each channel of the frame and of the face crop, sharpness of both (variance of
the Laplacian), and the file's size. Cross-validated over identity pairs (a pair shares faces, so it is never
divided). Prints the area under the ROC curve for each method and for all together.

FaceSwap's cue is one that a single picture shows, so it may be seen here at raw and c23; the others ought not to be.
"""

from __future__ import annotations

import glob
import os
import sys

import av
import numpy as np

from cpml_jax.errors import UserError
from data_prep import shortcut
from data_prep.synthetic.generate import FAKE_SEQUENCE, REAL_SEQUENCE


def statistics(path: str, truth: str) -> np.ndarray:
    """Features (15,) of one video: every fourth frame is measured, and the mean taken."""
    boxes = np.load(truth)["box"]
    rows = []
    with av.open(path) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number % 4:
                continue
            picture = frame.to_ndarray(format="rgb24")
            x0, y0, x1, y1 = np.clip(np.round(boxes[number]).astype(int), 0, picture.shape[0])
            rows.append([*shortcut.of_picture(picture), *shortcut.of_picture(picture[y0:y1, x0:x1])])
    return np.array([*np.mean(rows, 0), os.path.getsize(path)])


def table(root: str, compression: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (V, 15), method of each video (V,) ("" for real), pair of identities (V,)."""
    features, methods, groups = [], [], []
    pattern = os.path.join(root, "{}", compression, "videos", "*.mp4")
    paths = glob.glob(pattern.format(REAL_SEQUENCE)) + glob.glob(pattern.format(f"{FAKE_SEQUENCE}/*"))
    for path in sorted(paths):
        sequence, video = path.split(f"/{compression}/videos/")
        sequence = os.path.relpath(sequence, root)
        video = video.removesuffix(".mp4")
        features.append(statistics(path, os.path.join(root, "truth", sequence, f"{video}.npz")))
        methods.append(sequence.split("/")[1] if sequence.startswith(FAKE_SEQUENCE) else "")
        groups.append(int(video[:3]) // 2)
    if not features:
        raise UserError(f"{root} holds no drawn videos at {compression}")
    return np.array(features), np.array(methods), np.array(groups)


def shortcut_auc(root: str, compression: str = "c23", folds: int = 5, repeats: int = 4) -> dict[str, float]:
    """Area under the ROC curve on held-out pairs of identities: see shortcut.auc_by_method."""
    return shortcut.auc_by_method(*table(root, compression), folds, repeats)


def main(arguments: list[str]) -> int:
    return shortcut.run(arguments, "data_prep.synthetic.shortcut", shortcut_auc, lambda root: ("raw", "c23"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
