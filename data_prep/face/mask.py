"""Which face was manipulated: the track that covers the manipulation mask. Asked in training splits alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from cpml_jax.errors import UserError
from data_prep.face.tracks import KEY_INTERVAL, Track
from data_prep.video.reader import VideoReader

BRIGHT = 32  # grey levels, of 255: FF++'s masks are black where nothing was changed, and H.264 leaves specks
COVERED = 0.3  # share of the mask that the face must hold


def identity() -> dict[str, Any]:
    """What the choice of a face by masks depends on."""
    return dict(bright=BRIGHT, covered=COVERED, splits=["train"])


def manipulated(tracks: list[Track], masks: list[str]) -> Track | None:
    """The track with most of a mask inside its box, by the first mask video that can be read and is not black.

    Args:
      tracks: of one video. masks: paths of videos of the same frames, bright where the face was changed.

    Returns:
      None where no mask decides.
    """
    for path in masks:
        try:
            shares = covered(tracks, path)
        except UserError:
            continue  # a broken mask: the next, or the largest face
        if len(shares) and shares.max() >= COVERED:
            return tracks[int(shares.argmax())]
    return None


def covered(tracks: list[Track], path: str) -> np.ndarray:
    """(tracks,) share of the mask's bright pixels inside each track's box, mean over key frames that have any."""
    totals = np.zeros(len(tracks))
    frames = 0
    with VideoReader(path) as video:
        for number, (picture, _) in enumerate(video.resampled()):
            if number % KEY_INTERVAL:
                continue
            bright = picture.rgb.max(axis=2) > BRIGHT
            if not bright.any():
                continue
            frames += 1
            rows, columns = np.nonzero(bright)
            for index, track in enumerate(tracks):
                place = number - track.start
                if 0 <= place < len(track):
                    x0, y0 = track.centre[place] - track.size[place] / 2
                    x1, y1 = track.centre[place] + track.size[place] / 2
                    inside = (columns >= x0) & (columns <= x1) & (rows >= y0) & (rows <= y1)
                    totals[index] += inside.mean()
    return totals / max(frames, 1)
