"""One video: who, what moves, which pulse, which forgery; its frames and its ground truth."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from data_prep.synthetic import forgery, motion, pulse
from data_prep.synthetic.camera import NoisePool, shoot
from data_prep.synthetic.identity import Expression, Identity, draw_identity, landmarks, stream
from data_prep.synthetic.render import draw_face, draw_portrait
from data_prep.synthetic.texture import room

FRAME_RATE = {"a": 30, "b": 25}


@dataclasses.dataclass(frozen=True)
class Take:
    """What a person does in front of the camera: the same in the real video and in every fake made from it."""

    face: Identity
    times: np.ndarray  # (N,) s
    poses: np.ndarray  # (N, 5), see motion.head_motion
    moves: list[Expression]  # (N,)
    rates: np.ndarray  # (N,) beats/min
    pulse: np.ndarray  # (N,) float32
    drift: np.ndarray  # (N,) light, a factor around 1
    pan: np.ndarray  # (N, 2) picture pixels: how a hand-held camera moves the background


def take(seed: int, style: str, number: int, frames: int) -> Take:
    """The take of identity `number`: a function of its arguments alone."""
    times = np.arange(frames) / FRAME_RATE[style]
    face = draw_identity(seed, style, number)
    acting, heart = stream(seed, style, number, 1), stream(seed, style, number, 2)
    poses, moves = motion.head_motion(acting, times), motion.expressions(acting, times)
    rates = pulse.heart_rates(heart, face.heart_rate, times)
    drift = motion.light_drift(acting, times, 0.012 if style == "b" else 0.006)
    pan = motion.camera_pan(acting, times)
    return Take(face, times, poses, moves, rates, pulse.wave(heart, rates, times), drift, pan)


class Scene:
    """A video of identity `target`, forged by `method` with identity `source`, or real (method "").

    `truth()` needs no drawing. Iterate `pictures()` only once: each call draws other sensor noise.
    """

    def __init__(
        self,
        *,
        seed: int,
        style: str,
        target: int,
        frames: int,
        size: int,
        method: str = "",
        source: int = -1,
        shake: float = 1.0,
    ) -> None:
        self._target = take(seed, style, target, frames)
        self._size = size
        self._portrait = draw_portrait(self._target.face, size)
        number = forgery.METHODS.index(method) + 1 if method else 0
        self._rng = stream(seed, style, target, 10 + number, source + 1)
        face = self._target.face
        self._room = room(face.scene_seed, style, size + 2 * motion.PAN_MARGIN, face.exposure)
        self._forgery = None
        self._source = None
        if method:
            self._source = take(seed, style, source, frames)
            self._forgery = forgery.forge(
                method,
                self._rng,
                self._portrait,
                self._source.face,
                self._target.moves,
                self._source.moves,
                self._target.pulse,
                self._source.pulse,
            )

    def truth(self) -> dict[str, np.ndarray]:
        """times_s (N,), pulse (N,), heart_rate (N,), box (N, 4) px, landmarks (N, 68, 2) px; float32.

        Pulse and rate are NaN for a fake without a coherent wave.
        """
        target, moves = self._target, self._target.moves
        wave, rates, face = target.pulse, target.rates, target.face
        if self._forgery is not None and self._source is not None:
            wave, moves, face = self._forgery.visible_pulse, self._forgery.expressions, self._forgery.inner.face
            if wave is None:
                wave = rates = np.full(len(target.times), np.nan)
            elif wave is self._source.pulse:
                rates = self._source.rates
        points = []
        for pose, move in zip(target.poses, moves, strict=True):
            matrix = motion.pose_matrix(pose, 1, self._size)
            # landmarks are in fractions of the side; the matrix takes cv2's pixel centres of a canvas of side 1
            points.append((landmarks(face, move) - 0.5) @ matrix[:, :2].T + matrix[:, 2])
        points = np.stack(points)
        low, high = points.min(1), points.max(1)
        low[:, 1] -= 0.22 * (high - low)[:, 1]  # landmarks begin at the brows, a face at the hairline
        box = np.concatenate([low, high], 1)
        result = dict(times_s=target.times, pulse=wave, heart_rate=rates, box=box, landmarks=points)
        return {key: np.asarray(value, np.float32) for key, value in result.items()}

    def pictures(self) -> Iterator[np.ndarray]:
        """Yields the (size, size, 3) uint8 RGB frames."""
        target, portrait = self._target, self._portrait
        pool = NoisePool(self._rng, self._size, target.face.noise, target.face.grain)
        canvas = portrait.alpha.shape[0]
        for frame in range(len(target.times)):
            layer = draw_face(portrait, target.moves[frame], target.pulse[frame])
            if self._forgery is not None:
                forgery.paste(layer, self._forgery, frame)
            matrix = motion.pose_matrix(target.poses[frame], canvas, self._size)
            behind = motion.pan_background(self._room, target.pan[frame], self._size)
            yield shoot(layer, portrait.alpha, matrix, behind, float(target.drift[frame]), pool.draw())
