"""Face detection on single frames. Another detector is another class here, returned by `shared_detector`."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from cpml_jax.pretrained.mtcnn import PACKAGE
from data_prep.face.packages import release, require

if TYPE_CHECKING:  # onnxruntime, which nothing but a search for faces needs
    from data_prep.face.mtcnn.networks import Networks
    from data_prep.face.mtcnn.search import Faces

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

    def load(self) -> None:
        """Get ready. Raises UserError or ImportError for what is missing, before the first video is read."""
        ...

    def __call__(self, frames: list[np.ndarray]) -> list[list[Detection]]:
        """The faces of each frame.

        Args:
          frames: of one size, (H, W, 3) uint8 RGB, at most tracks.DETECTION_SIDE pixels on their longer side.
        """
        ...


class Mtcnn:
    """MTCNN with facenet-pytorch's weights and boxes, on onnxruntime (data_prep/face/mtcnn).

    Args:
      device: "cpu", or "cuda" where onnxruntime-gpu is installed.
    """

    def __init__(self, device: str = "cpu") -> None:
        self._device = device

    @property
    def identity(self) -> dict[str, Any]:
        require("onnx", "onnxruntime")
        return dict(
            name="mtcnn",
            package=PACKAGE,
            version=release(PACKAGE),
            thresholds=list(THRESHOLDS),
            smallest_face=SMALLEST_FACE,
            probability=PROBABILITY,
        )

    def load(self) -> None:
        _ = self._networks

    @functools.cached_property
    def _networks(self) -> Networks:
        from data_prep.face.mtcnn import networks

        return networks.load(self._device)

    def __call__(self, frames: list[np.ndarray]) -> list[list[Detection]]:
        shorter = min(frames[0].shape[:2])
        smallest = max(20, int(SMALLEST_FACE * shorter))
        if shorter < smallest:
            return [[] for _ in frames]  # no room for the smallest face: MTCNN has no scale to look at
        from data_prep.face.mtcnn import search

        return [_detections(faces) for faces in search.find(frames, self._networks, smallest, THRESHOLDS)]


def _detections(faces: Faces) -> list[Detection]:
    """Those that count."""
    found = zip(faces.boxes.astype(float), faces.points.astype(float), faces.probabilities.tolist(), strict=True)
    return [Detection(box, points, probability) for box, points, probability in found if probability >= PROBABILITY]


@functools.cache
def shared_detector(device: str = "cpu") -> Detector:
    """The detector that preparation and prediction use, one per process and device: its networks are loaded once."""
    return Mtcnn(device)
