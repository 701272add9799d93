"""Face detection on single frames. Another detector is another class here, returned by `shared_detector`."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Protocol

import numpy as np

from data_prep.face.packages import release

SMALLEST_FACE = 0.08  # of the frame's shorter side
PROBABILITY = 0.90  # of a detection that counts
# Of MTCNN's three networks. facenet-pytorch's 0.6, 0.7, 0.7 let some 120 candidates per frame through to the second;
# on 48 real and 24 drawn frames these find the same faces (IoU 0.97 to 0.99) in half to two thirds of the time.
THRESHOLDS = (0.8, 0.8, 0.9)


@dataclasses.dataclass(eq=False)  # two detections are equal only if they are the same object
class Detection:
    """A face in a frame, in pixels of it.

    Attributes:
      box: (4,) x0, y0, x1, y1.
      points: (5, 2) middles of the eyes, tip of the nose, corners of the mouth; the ones on the left first.
    """

    box: np.ndarray
    points: np.ndarray
    probability: float

    @property
    def eyes(self) -> np.ndarray:
        """(2, 2)."""
        return self.points[:2]

    def enlarged(self, factor: float) -> Detection:
        """In pixels of a frame that is larger by `factor`."""
        return Detection(self.box * factor, self.points * factor, self.probability)


class Detector(Protocol):
    """What finds faces in frames."""

    @property
    def identity(self) -> dict[str, Any]:
        """All that its detections depend on, as JSON has it; records made with another identity are not mixed.

        At least a `name`. Asked for whenever records are looked for, so nothing large may be loaded for it.
        """
        ...

    def __call__(self, frames: list[np.ndarray]) -> list[list[Detection]]:
        """The faces of each frame.

        Args:
          frames: of one size, (H, W, 3) uint8 RGB, at most tracks.DETECTION_SIDE pixels on their longer side.
        """
        ...


class Mtcnn:
    """facenet-pytorch's MTCNN, whose weights come with the package; loaded for one frame size at a time."""

    def __init__(self) -> None:
        self._network: Any = None
        self._smallest = 0  # pixels, the smallest face that the network was loaded for

    @property
    def identity(self) -> dict[str, Any]:
        return dict(
            name="mtcnn",
            package="facenet-pytorch",
            version=release("facenet-pytorch"),
            thresholds=list(THRESHOLDS),
            smallest_face=SMALLEST_FACE,
            probability=PROBABILITY,
        )

    def __call__(self, frames: list[np.ndarray]) -> list[list[Detection]]:
        import torch

        shorter = min(frames[0].shape[:2])
        smallest = max(20, int(SMALLEST_FACE * shorter))
        if shorter < smallest:
            return [[] for _ in frames]  # no room for the smallest face: MTCNN has no scale to look at
        self._load(smallest)
        with torch.inference_mode():
            boxes, probabilities, points = self._network.detect(np.stack(frames), landmarks=True)
        return [
            _detections(box, probability, point) if box is not None else []
            for box, probability, point in zip(boxes, probabilities, points, strict=True)
        ]

    def _load(self, smallest: int) -> None:
        if self._smallest == smallest:
            return
        import torch
        from facenet_pytorch import MTCNN

        torch.set_num_threads(1)  # preparation runs one process per core
        self._network = MTCNN(keep_all=True, min_face_size=smallest, thresholds=list(THRESHOLDS), device="cpu")
        self._smallest = smallest


def _detections(boxes: np.ndarray, probabilities: np.ndarray, points: np.ndarray) -> list[Detection]:
    return [
        Detection(np.asarray(box, float), np.asarray(point, float), float(probability))
        for box, probability, point in zip(boxes, probabilities, points, strict=True)
        if probability >= PROBABILITY
    ]


@functools.cache
def shared_detector() -> Detector:
    """The detector that preparation and prediction use, one per process: its networks are loaded once."""
    return Mtcnn()
