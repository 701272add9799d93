"""The cascade: P-Net on a pyramid of the frames, R-Net on what it proposes, O-Net on what is left."""

from __future__ import annotations

import dataclasses

import numpy as np

from data_prep.face.mtcnn import area, boxes
from data_prep.face.mtcnn.networks import SIDES, Network, Networks

FACTOR = 0.709  # between two scales of the pyramid: half the area
CELL, STRIDE = 12, 2  # pixels: what P-Net sees at a place, and between two places
WITHIN_SCALE, BETWEEN = 0.5, 0.7  # overlaps above which the worse of two boxes goes
_BATCH = 512  # crops at once


@dataclasses.dataclass(frozen=True)
class Faces:
    """Of one frame, the largest first.

    Attributes:
      boxes: (M, 4) float32 x0, y0, x1, y1, pixels. probabilities: (M,) float32.
      points: (M, 5, 2) float32, pixels: eyes, nose, corners of the mouth.
    """

    boxes: np.ndarray
    probabilities: np.ndarray
    points: np.ndarray


@dataclasses.dataclass(frozen=True)
class _Found:
    """Of all frames: (K,) which frame, (K, 4) boxes, (K,) probabilities, (K, ...) the network's other numbers."""

    frame: np.ndarray
    boxes: np.ndarray
    probabilities: np.ndarray
    numbers: np.ndarray

    def __getitem__(self, chosen: np.ndarray) -> _Found:
        return _Found(*(getattr(self, field.name)[chosen] for field in dataclasses.fields(self)))


def find(
    frames: list[np.ndarray], networks: Networks, smallest: int, thresholds: tuple[float, float, float]
) -> list[Faces]:
    """The faces of frames, as facenet-pytorch's MTCNN with keep_all finds them.

    Args:
      frames: of one size, (H, W, 3) uint8 RGB.
      smallest: pixels, the smallest face looked for (min_face_size).
      thresholds: of the three networks' probabilities.
    """
    height, width = frames[0].shape[:2]
    sums = area.summed(frames)
    found = _proposed(sums, networks.propose, scales(height, width, smallest), thresholds[0])
    found = dataclasses.replace(found, boxes=boxes.squared(boxes.moved(found.boxes, found.numbers, 0)))
    found = _judged(sums, found, networks.refine, SIDES["rnet"], thresholds[1])
    found = found[boxes.suppress(found.boxes, found.probabilities, found.frame, BETWEEN)]
    found = dataclasses.replace(found, boxes=boxes.squared(boxes.moved(found.boxes, found.numbers[:, :4], 1)))
    found = _judged(sums, found, networks.place, SIDES["onet"], thresholds[2])
    points = _points(found.boxes, found.numbers[:, 4:])
    found = dataclasses.replace(found, boxes=boxes.moved(found.boxes, found.numbers[:, :4], 1), numbers=points)
    found = found[boxes.suppress_inner(found.boxes, found.probabilities, found.frame, BETWEEN)]
    return [_largest_first(found[found.frame == number]) for number in range(len(frames))]


def scales(height: int, width: int, smallest: int) -> list[float]:
    """Factors of the pyramid's sizes: the first makes the smallest face as large as P-Net's cell."""
    factors, factor = [], CELL / smallest
    shorter = min(height, width) * factor
    while shorter >= CELL:
        factors.append(factor)
        factor, shorter = factor * FACTOR, shorter * FACTOR
    return factors


def _proposed(sums: np.ndarray, network: Network, factors: list[float], threshold: float) -> _Found:
    _, height, width, _ = np.array(sums.shape) - 1
    least = np.log(threshold / (1 - threshold))
    every, at_scale = [], []
    for number, factor in enumerate(factors):
        pictures = area.resized(sums, int(height * factor + 1), int(width * factor + 1))
        answers = network(_normalised(pictures))
        frame, row, column = np.nonzero(answers[:, 0] >= least)
        chosen = answers[frame, :, row, column]
        corner = np.stack([column, row], axis=1).astype(np.float32) * STRIDE
        cells = np.concatenate([np.floor((corner + 1) / factor), np.floor((corner + CELL) / factor)], axis=1)
        every.append(_Found(frame, cells.astype(np.float32), _probability(chosen[:, 0]), chosen[:, 1:]))
        at_scale.append(frame + number * len(sums))
    found = _Found(*(np.concatenate([getattr(f, field.name) for f in every]) for field in dataclasses.fields(_Found)))
    found = found[boxes.suppress(found.boxes, found.probabilities, np.concatenate(at_scale), WITHIN_SCALE)]
    return found[boxes.suppress(found.boxes, found.probabilities, found.frame, BETWEEN)]


def _judged(sums: np.ndarray, found: _Found, network: Network, side: int, threshold: float) -> _Found:
    """The boxes that a network takes for faces, with its probabilities and numbers."""
    corners = boxes.inside(found.boxes, sums.shape[1] - 1, sums.shape[2] - 1)
    seen = (corners[:, 2:] > corners[:, :2]).all(axis=1)  # a box may have moved out of the frame
    found, corners = found[np.flatnonzero(seen)], corners[seen]
    answers = []
    for first in range(0, max(len(corners), 1), _BATCH):  # a network answers to no pictures, too
        part = slice(first, first + _BATCH)
        answers.append(network(_normalised(area.crops(sums, found.frame[part], corners[part], side))))
    answer = np.concatenate(answers)
    probabilities = _probability(answer[:, 0])
    judged = _Found(found.frame, found.boxes, probabilities, answer[:, 1:])
    return judged[probabilities > np.float32(threshold)]


def _normalised(pictures: np.ndarray) -> np.ndarray:
    """In place."""
    pictures -= np.float32(127.5)
    pictures *= np.float32(1 / 128)
    return pictures


def _probability(logit: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logit))


def _points(found: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """(M, 5, 2) pixels: the network's five x, then its five y, in shares of the box."""
    size = (found[:, 2:] - found[:, :2] + 1)[:, None]
    return size * shares.reshape(-1, 2, 5).transpose(0, 2, 1) + found[:, None, :2] - 1


def _largest_first(found: _Found) -> Faces:
    order = np.argsort(np.prod(found.boxes[:, 2:] - found.boxes[:, :2], axis=1))[::-1]
    found = found[order]
    return Faces(found.boxes, found.probabilities, found.numbers)
