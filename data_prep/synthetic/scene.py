"""Videos of one person: who, what moves, which pulse, which forgery; their frames and their ground truth."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence

import numpy as np

from data_prep.synthetic import forgery, motion, pulse
from data_prep.synthetic.camera import NoisePool, digitise, retouch, shoot, sight
from data_prep.synthetic.identity import (
    Expression,
    Identity,
    bend_weights,
    bends,
    draw_identity,
    landmarks,
    stream,
)
from data_prep.synthetic.render import draw_face, draw_portrait
from data_prep.synthetic.texture import room

FRAME_RATE = {"a": 30, "b": 25}
UPLOADED = 0.5  # share of takes that were compressed once before
UPLOAD_CRF = (15, 28)


@dataclasses.dataclass(frozen=True)
class Take:
    """What a person does in front of the camera, and the camera: the same in the real video and in all its fakes."""

    face: Identity
    times: np.ndarray  # (N,) s
    poses: np.ndarray  # (N, 7), see motion.head_motion; with the camera's shake
    moves: list[Expression]  # (N,)
    rates: np.ndarray  # (N,) beats/min
    pulse: np.ndarray  # (N,) float32
    shake: np.ndarray  # (N, 2) fractions of the side: how the camera moves the background
    sharpness: float  # of the lens, see camera.sharpened
    upload: int | None  # constant rate factor of the compression before the benchmark's; None: there was none


@functools.lru_cache(maxsize=4)
def take(seed: int, style: str, number: int, frames: int) -> Take:
    """The take of identity `number`: a function of its arguments alone."""
    times = np.arange(frames) / FRAME_RATE[style]
    face = draw_identity(seed, style, number)
    acting, heart, camera = (stream(seed, style, number, index) for index in (1, 2, 3))
    poses, moves = motion.head_motion(acting, times), motion.expressions(acting, times)
    rates = pulse.heart_rates(heart, face.heart_rate, times)
    wave = pulse.wave(heart, rates, times)
    shake = motion.camera_shake(camera, times)
    poses[:, :2] += shake
    upload = int(camera.integers(UPLOAD_CRF[0], UPLOAD_CRF[1] + 1)) if camera.uniform() < UPLOADED else None
    return Take(face, times, poses, moves, rates, wave, shake, float(camera.uniform(-0.5, 0.4)), upload)


class Scene:
    """A video of identity `target`, forged by `method` with identity `source`, or real (method "").

    `truth()` needs no drawing.
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
    ) -> None:
        self._target = take(seed, style, target, frames)
        self._origin = (seed, style, target)
        self._size = size
        self._portrait = draw_portrait(self._target.face, size)
        self._forgery: forgery.Forgery | None = None
        self._source: Take | None = None
        if method:
            self._source = take(seed, style, source, frames)
            number = forgery.METHODS.index(method) + 1 if method in forgery.METHODS else 0
            self._forgery = forgery.forge(
                method,
                stream(seed, style, target, 10 + number, source + 1),
                self._portrait,
                self._source.face,
                self._target.moves,
                self._source.moves,
                self._target.pulse,
                self._source.pulse,
            )

    @property
    def upload(self) -> int | None:
        """Constant rate factor of the compression before the benchmark's."""
        return self._target.upload

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
        points = np.stack([landmarks(face, move) for move in moves])
        if self._forgery is not None:
            points += self._forgery.displacement(points)
        # The head and its jaw are the target's in every fake.
        weights = np.stack(
            [bend_weights(pose[5:], move) for pose, move in zip(target.poses, target.moves, strict=True)]
        )
        points += bends(target.face, points) @ weights
        # landmarks are in fractions of the side; the matrix takes cv2's pixel centres of a canvas of side 1
        matrices = np.stack([motion.pose_matrix(pose, 1, self._size) for pose in target.poses])
        points = (points - 0.5) @ matrices[:, :, :2].transpose(0, 2, 1) + matrices[:, None, :, 2]
        low, high = points.min(1), points.max(1)
        low[:, 1] -= 0.22 * (high - low)[:, 1]  # landmarks begin at the brows, a face at the hairline
        box = np.concatenate([low, high], 1)
        result = dict(times_s=target.times, pulse=wave, heart_rate=rates, box=box, landmarks=points)
        return {key: np.asarray(value, np.float32) for key, value in result.items()}

    def pictures(self) -> Iterator[np.ndarray]:
        """Yields the (size, size, 3) uint8 RGB frames."""
        for (picture,) in film([self]):
            yield picture


def film(scenes: Sequence[Scene]) -> Iterator[list[np.ndarray]]:
    """Yields frame after frame of several videos of one target, each (size, size, 3) uint8 RGB.

    What they share is drawn once: a forger starts from the real frames, sensor noise and all.
    """
    first = scenes[0]
    target, size, portrait = first._target, first._size, first._portrait
    if any(scene._origin != first._origin for scene in scenes):
        raise ValueError("videos that are filmed together must have one target")
    seed, style, number = first._origin
    camera = stream(seed, style, number, 4)
    behind = room(target.face.scene_seed, style, size + 2 * motion.PAN_MARGIN, target.face.exposure)
    light = motion.light(camera, target.times, 0.012 if style == "b" else 0.006, size)
    pool = NoisePool(camera, size, target.face.noise, target.face.grain)
    canvas, limit = portrait.alpha.shape[0], motion.PAN_MARGIN - 1
    pan = np.clip(target.shake * size, -limit, limit)
    for frame in range(len(target.times)):
        move, pose = target.moves[frame], target.poses[frame]
        layer = draw_face(portrait, move, target.pulse[frame])
        matrix = motion.pose_matrix(pose, canvas, size)
        weights = (canvas * bend_weights(pose[5:], move)).astype(np.float32)
        seen = sight(matrix, portrait.fields, weights, canvas, size)
        view = motion.pan_background(behind, pan[frame], size)
        common = (seen, light[frame], target.sharpness)
        picture, coverage = shoot(layer, portrait.alpha, seen, view, light[frame], pool.draw(), target.sharpness)
        videos = []
        for scene in scenes:
            if scene._forgery is None:
                videos.append(digitise(picture))
                continue
            change, part = _change(layer, scene._forgery, frame), _part(scene._forgery.window, matrix, weights, size)
            videos.append(digitise(retouch(picture, coverage, change, scene._forgery.window[:2], part, *common)))
        yield videos


def _change(layer: np.ndarray, plan: forgery.Forgery, frame: int) -> np.ndarray:
    """What forgery.paste adds to the layer inside its window (h, w, 3)."""
    x0, y0, x1, y1 = plan.window
    change = forgery.inner_face(plan, frame)
    change -= layer[y0:y1, x0:x1]
    change *= plan.mask
    return change


def _part(window: tuple[int, int, int, int], matrix: np.ndarray, weights: np.ndarray, size: int) -> tuple[slice, slice]:
    """Rows and columns of the picture that may show a window of the canvas."""
    x0, y0, x1, y1 = window
    corners = np.array([[x0, y0, 1], [x1, y0, 1], [x0, y1, 1], [x1, y1, 1]]) @ matrix.T
    reach = 3 + np.linalg.norm(matrix[:, 0]) * np.abs(weights).sum() * 1.5
    low = np.clip(np.floor(corners.min(0) - reach).astype(int), 0, size)
    high = np.clip(np.ceil(corners.max(0) + reach).astype(int) + 1, 0, size)
    return slice(low[1], high[1]), slice(low[0], high[0])
