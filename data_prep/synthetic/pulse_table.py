"""How much of the pulse each compression leaves: the skin's mean colour through POS against the true wave.

    python -m data_prep.synthetic.pulse_table ROOT

Measured on real videos of 128 frames at 160x160: style a (16 videos) raw 0.83, c23 0.67, c28 0.45, c32 0.35, c40 0.12;
style b (12 videos) raw 0.80, c23 0.55, c40 -0.01.
"""

from __future__ import annotations

import glob
import os
import sys

import av
import numpy as np
from scipy.signal import butter, sosfiltfilt

from cpml_jax.errors import UserError
from cpml_jax.schema import compression_rank
from data_prep.synthetic.generate import FAKE_SEQUENCE, REAL_SEQUENCE


def face_means(path: str, boxes: np.ndarray) -> np.ndarray:
    """Mean colour (N, 3) of the face box in each frame; the rim of hair and background is left out."""
    means = []
    with av.open(path) as container:
        for frame, (x0, y0, x1, y1) in zip(container.decode(video=0), boxes, strict=False):
            picture = frame.to_ndarray(format="rgb24")
            dx, dy = 0.12 * (x1 - x0), 0.12 * (y1 - y0)
            rows, columns = slice(int(y0 + dy), int(y1 - dy)), slice(int(x0 + dx), int(x1 - dx))
            means.append(picture[rows, columns].mean((0, 1)))
    return np.array(means)


def pos(colour: np.ndarray, rate: float) -> np.ndarray:
    """Pulse (N,) from mean colours (N, 3): Wang et al. 2017, algorithm 1, windows of 1.6 s, overlap-added."""
    length = int(round(1.6 * rate))
    pulse = np.zeros(len(colour))
    for start in range(len(colour) - length + 1):
        window = colour[start : start + length]
        normal = window / window.mean(0)
        s1 = normal[:, 1] - normal[:, 2]
        s2 = normal[:, 1] + normal[:, 2] - 2 * normal[:, 0]
        part = s1 + s1.std() / max(s2.std(), 1e-9) * s2
        pulse[start : start + length] += part - part.mean()
    return pulse


def correlation(path: str, truth: str) -> float:
    """Pearson correlation of POS and the true wave, both 0.6-4 Hz. NaN for a video without a true wave."""
    known = np.load(truth)
    if not np.isfinite(known["pulse"]).all():
        return float("nan")
    rate = 1.0 / float(np.diff(known["times_s"]).mean())
    measured = pos(face_means(path, known["box"]), rate)
    band = butter(2, [0.6, 4.0], "bandpass", fs=rate, output="sos")
    return float(np.corrcoef(sosfiltfilt(band, measured), sosfiltfilt(band, known["pulse"][: len(measured)]))[0, 1])


def pulse_table(root: str) -> dict[str, dict[str, tuple[float, float, int]]]:
    """{sequence: {compression: (mean correlation, its deviation over videos, videos)}} for all videos under `root`.

    The true wave of a fake is the target's, but for Deepfakes: that of those that have one is the source's, the others
    are left out.
    """
    result: dict[str, dict[str, tuple[float, float, int]]] = {}
    folders = [REAL_SEQUENCE, *sorted(glob.glob(f"{FAKE_SEQUENCE}/*", root_dir=root))]
    for sequence in folders:
        for compression in sorted(glob.glob("*", root_dir=os.path.join(root, sequence)), key=compression_rank):
            correlations = []
            for path in sorted(glob.glob(os.path.join(root, sequence, compression, "videos", "*.mp4"))):
                video = os.path.basename(path).removesuffix(".mp4")
                correlations.append(correlation(path, os.path.join(root, "truth", sequence, f"{video}.npz")))
            known = np.array(correlations)[np.isfinite(correlations)]
            if len(known):
                result.setdefault(sequence, {})[compression] = (float(known.mean()), float(known.std()), len(known))
    if not result:
        raise UserError(f"{root} holds no drawn videos with a known pulse")
    return result


def main(arguments: list[str]) -> int:
    try:
        table = pulse_table(arguments[0])
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    names = sorted({name for row in table.values() for name in row}, key=compression_rank)
    print("| correlation with the true pulse | " + " | ".join(names) + " |")
    print("| --- |" + " --- |" * len(names))
    for sequence, row in table.items():
        cells = ["{:.2f} ± {:.2f} (n={})".format(*row[name]) if name in row else "-" for name in names]
        print(f"| {sequence.split('/')[1]} | " + " | ".join(cells) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
