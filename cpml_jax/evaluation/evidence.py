"""What the score of one video rests on, window by window: for its page, and gathered only when one is wanted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

STRIP = 6  # frames shown of the window that decides; one of every other
PICTURED_FACES = 4  # faces whose deciding window is shown in full, with its saliency


class FaceClip(Protocol):
    """What is used of a clip (data_prep.face.clips.FaceClip): its face's number, frames (T, H, W, 3), trace (T,)."""

    face: int
    frames: np.ndarray
    pulse_pos: np.ndarray


@dataclasses.dataclass(frozen=True)
class WindowArrays:
    """What the page shows of one window; anything may be None.

    Attributes:
      frames: (k, S, S, 3) uint8 RGB, a few frames evenly over the window. The page shows those of the highest scores
        only, so a long video need not keep the others.
      wave: (T,) the model's pulse wave. trace: (T,) the classical trace (POS); NaN where unknown.
      cosines: (2,) of the unified feature to the prompts of real and fake.
      saliency: (S, S) >= 0.
    """

    frames: np.ndarray | None = None
    wave: np.ndarray | None = None
    trace: np.ndarray | None = None
    cosines: np.ndarray | None = None
    saliency: np.ndarray | None = None


class Evidence:
    """Gathers, while a video is scored, what its page shows.

    A long video has thousands of windows: of each a single frame is kept, and the whole clip only of the window with
    the highest score of a face.

    Attributes:
      windows: in the order of scoring.
    """

    def __init__(self, class_embeddings: np.ndarray | None):
        self._prompts = class_embeddings
        self.windows: list[WindowArrays] = []
        self._deciding: dict[int, tuple[float, int, Any]] = {}  # face -> score, place in windows, FaceClip

    def add(self, clips: Sequence[FaceClip], margins: np.ndarray, scores: Mapping[str, np.ndarray]) -> None:
        """A scored batch; its arrays may have more rows than there are clips."""
        for i, (clip, margin) in enumerate(zip(clips, margins, strict=True)):
            if clip.face not in self._deciding or margin > self._deciding[clip.face][0]:
                self._deciding[clip.face] = (float(margin), len(self.windows), clip)
            middle = len(clip.frames) // 2
            self.windows.append(
                WindowArrays(
                    frames=np.array(clip.frames[middle : middle + 1]),
                    wave=np.array(scores["wave"][i]) if "wave" in scores else None,
                    trace=np.asarray(clip.pulse_pos, np.float32),
                    cosines=self._cosines(scores["unified"][i]),
                    saliency=None,
                )
            )

    def _cosines(self, unified: np.ndarray) -> np.ndarray | None:
        if self._prompts is None:
            return None
        return self._prompts @ (unified / max(float(np.linalg.norm(unified)), 1e-12))

    def finish(self, saliency: Callable[[list[Any]], np.ndarray]) -> list[WindowArrays]:
        """The windows, with pictures of the deciding ones.

        Args:
          saliency: clips -> (len(clips), S, S).
        """
        deciding = sorted(self._deciding.values(), key=lambda entry: -entry[0])[:PICTURED_FACES]
        for (_, place, clip), drawn in zip(deciding, saliency([clip for *_, clip in deciding]), strict=True):
            chosen = np.linspace(0, len(clip.frames) - 1, STRIP).round().astype(int)
            self.windows[place] = dataclasses.replace(
                self.windows[place], frames=np.array(clip.frames[chosen]), saliency=drawn
            )
        return self.windows
