"""How the picture's fine texture stands to its edges, and how it moves, in each cell: ratios measured on whole frames.

A forged face was warped, blended or rendered again; what is around it was not. How sharp or how restless a region is
says little by itself, for skin, hair and background differ by more. How its texture stands to its own edges, and its
changes to its own texture, says whether it was resampled, and whether it moves with the face. With y the luma of a
frame, B a binomial blur of 3 x 3 pixels, G(s) a Gaussian blur of s pixels, d and dd first and second differences over
time, and |.| the mean magnitude over time and over a cell:

  sharpness  |y - By| / |grad By|    A resampled face has less fine texture beside the same edges (Li and Lyu, CVPR
                                     workshops 2019).
  unrest     |ddy| / |grad By|       By the optical flow constraint, dy = -v grad y (Horn and Schunck, 1981), this is how
                                     uneven the motion is, in pixels a frame^2: a fit of each frame by itself jitters.
  flicker    |d fine| / |fine|       fine = y - By: texture that is another in each frame, or stands while the face moves.
  tremor     |dd mid| / |mid|        mid = G(1)y - G(2)y: the same of features as wide as a seam.

Each is a log, less the clip's own mean over cells: lenses, light and codecs differ by as much as forgeries do.
"""  # noqa: E501

from __future__ import annotations

import collections

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from cpml_jax.data.cells import cell_weights

NUMBERS = ("sharpness", "unrest", "flicker", "tremor")
_RATIOS = (("fine", "gradient"), ("second", "gradient"), ("fine_first", "fine"), ("mid_second", "mid"))
_FLOOR = 0.05  # grey levels
# On forged real footage (38 people of training and validation, raw and c23, 12 x 12 cells) a cell's ratio differs
# between clips with a standard deviation of 0.30, 0.43, 0.25 and 0.50.
_SCALES = (3.4, 2.3, 4.0, 2.0)
_BINOMIAL = np.array([0.25, 0.5, 0.25], np.float32)
_NARROW, _WIDE = 1.0, 2.0  # pixels: standard deviations of mid's two blurs


def texture(
    frames: UInt8[np.ndarray, "T S S 3"], valid: Bool[np.ndarray, " T"], cells: int
) -> Float32[np.ndarray, "4 {cells} {cells}"]:
    """The numbers of one clip, in the order of NUMBERS; about 1 in standard deviation between clips.

    A mirrored clip has mirrored numbers. Twice the contrast gives the same ones, but for the floor. A
    clip without any change or texture has zeros.

    Args:
      frames: RGB, 3 or more.
      valid: False where a frame was filled in: no such frame is read, and no difference reaches over one. A clip
        without three valid frames in a row is read as if all were valid.
      cells: a side; it need not divide S.
    """
    weights = cell_weights(frames.shape[1], cells)
    strengths = magnitudes(frames, valid)
    logs = {name: np.log(weights @ strength @ weights.T + _FLOOR) for name, strength in strengths.items()}
    ratios = np.stack([logs[above] - logs[below] for above, below in _RATIOS])
    ratios -= ratios.mean(axis=(1, 2), keepdims=True)
    return ratios * np.array(_SCALES, np.float32)[:, None, None]


def magnitudes(
    frames: UInt8[np.ndarray, "T S S 3"], valid: Bool[np.ndarray, " T"]
) -> dict[str, Float32[np.ndarray, "S S"]]:
    """Mean |.| over time of what the ratios are of, in grey levels, by name. Arguments as texture's.

    Frame by frame, so that all of it stays in a core's cache: 20 ms of one core for 128 frames.
    """
    if len(frames) < 3:
        raise ValueError(f"a clip of {len(frames)} frames has no second difference")
    if not (valid[:-2] & valid[1:-1] & valid[2:]).any():
        valid = np.ones_like(valid)
    sums: dict[str, Float32[np.ndarray, "rows columns"]] = {}
    counts: collections.Counter[str] = collections.Counter()

    def add(name: str, one: np.ndarray, other: np.ndarray) -> None:
        change = cv2.absdiff(one, other)
        sums[name] = sums[name] + change if name in sums else change
        counts[name] += 1

    before: list[tuple[np.ndarray, ...]] = []  # luma, fine, mid of the one or two frames before, if those are valid
    for frame, is_valid in zip(frames, valid, strict=True):
        if not is_valid:
            before = []
            continue
        luma = cv2.cvtColor(frame.astype(np.float32), cv2.COLOR_RGB2GRAY)  # not rounded to whole grey levels
        soft = cv2.sepFilter2D(luma, -1, _BINOMIAL, _BINOMIAL, borderType=cv2.BORDER_REPLICATE)
        fine, narrow, wide = luma - soft, gaussian(luma, _NARROW), gaussian(luma, _WIDE)
        mid = narrow - wide
        add("fine", luma, soft)
        add("mid", narrow, wide)
        add("across", soft[:, 1:], soft[:, :-1])
        add("down", soft[1:], soft[:-1])
        if before:
            add("fine_first", fine, before[-1][1])
        if len(before) == 2:
            add("second", luma + before[0][0], 2 * before[1][0])
            add("mid_second", mid + before[0][2], 2 * before[1][2])
        before = [*before[-1:], (luma, fine, mid)]
    means = {name: total / counts[name] for name, total in sums.items()}
    across, down = means.pop("across"), means.pop("down")
    return means | {"gradient": on_pixels(across, axis=1) + on_pixels(down, axis=0)}


def gaussian(image: Float32[np.ndarray, "S S"], deviation: float) -> Float32[np.ndarray, "S S"]:
    return cv2.GaussianBlur(image, (0, 0), deviation, borderType=cv2.BORDER_REPLICATE)


def on_pixels(steps: Float32[np.ndarray, "rows columns"], axis: int) -> Float32[np.ndarray, "S S"]:
    """Of steps between neighbouring pixels, the mean of the two at each pixel; at the edge there is one."""
    wide = np.pad(steps, [(1, 1) if place == axis else (0, 0) for place in (0, 1)], mode="edge")
    length = wide.shape[axis]
    return 0.5 * (wide.take(range(1, length), axis) + wide.take(range(length - 1), axis))
