"""Frames on which MTCNN is compared with facenet-pytorch's own: drawn ones, and real ones where those are at hand."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
from odd.encoder import draw

from data_prep.face.tracks import detection_scale, shrink

REAL = Path(__file__).resolve().parents[2] / "shared/real"
VIDEOS, PLACES = 12, (0, 45)  # of the real ones in order; frames of each
EASY, PRODUCT = (0.6, 0.7, 0.7), (0.8, 0.8, 0.9)  # thresholds: facenet-pytorch's and data_prep's
SMALLEST = 20  # pixels


def drawn() -> np.ndarray:
    """(4, 180, 320, 3) uint8: faces of several sizes, two in a picture, one cut by an edge, and none."""
    pictures = [frames[0] for frames in (draw(1), draw(1, target=1), draw(1, target=2))]
    canvas = np.full((4, 180, 320, 3), 96, np.uint8)
    for number, placed in enumerate([((0, 8, 12, 150), (1, 170, 60, 110)), ((2, 90, 5, 170),), ((1, 235, 20, 140),)]):
        for which, x, y, side in placed:
            face = cv2.resize(pictures[which], (side, side), interpolation=cv2.INTER_AREA)
            part = canvas[number, y : y + side, x : x + side]
            part[:] = face[: part.shape[0], : part.shape[1]]
    blocks = np.random.default_rng(0).integers(0, 256, (9, 16, 3), dtype=np.uint8)
    canvas[3] = blocks.repeat(20, axis=0).repeat(20, axis=1)
    return canvas


def real() -> dict[str, list[np.ndarray]]:
    """File name -> frames, as the detector gets them; empty where there are no such files."""
    found = {}
    for path in sorted(REAL.glob("*.mp4"))[:VIDEOS]:
        with av.open(str(path)) as container:
            frames = [f.to_ndarray(format="rgb24") for n, f in enumerate(container.decode(video=0)) if n in PLACES]
        found[path.name] = [shrink(frame, detection_scale(*frame.shape[:2])) for frame in frames]
    return found


def flat(boxes, probabilities, points) -> np.ndarray:
    """(M, 15) float64 of one frame's faces: box, probability, points."""
    count = 0 if boxes is None else len(boxes)
    rows = [np.concatenate([boxes[i], [probabilities[i]], np.ravel(points[i])]) for i in range(count)]
    return np.array(rows, float).reshape(count, 15)
