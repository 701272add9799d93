"""The kinds of forgery by name, and how any of them is made: its window, its seed, the pulse inside it."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from cpml_jax.errors import UserError
from data_prep.forge import motion, pulse, reenact, regen, selfblend, swap
from data_prep.forge.clip import Forged, RealClip
from data_prep.forge.draws import Draws
from data_prep.forge.shape import face_size, ring

MARGIN = 0.35  # face sizes around the face and its forehead, within which a forger works
SMALLEST = 24.0  # pixels of the square, of a face that can be forged


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of forgery.

    Attributes:
      name: of its folder and its method.
      needs_other: whether the source must be another person; of the others it gives at most its pulse or its motion.
      forge: (target, source, rng) -> Forged. The frames it is given may be a part of the square.
    """

    name: str
    needs_other: bool
    forge: Callable[[RealClip, RealClip, np.random.Generator], Forged]


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            Kind("swap", True, swap.forge),
            Kind("selfblend", False, selfblend.forge),
            Kind("reenact", False, reenact.forge),
            Kind("regen", False, regen.forge),
            Kind("motion", False, motion.forge),
        )
    }
)


def forge_clip(kind: str, target: RealClip, source: RealClip, seed: int) -> Forged:
    """A forged clip: the same arguments give the same bytes.

    Args:
      kind: a name of KINDS. source: another person's clip, or the target where the kind needs no other.

    Raises:
      UserError: no such kind, or a clip that cannot serve.
    """
    if kind not in KINDS:
        raise UserError(f"unknown kind of forgery {kind!r}: one of {', '.join(KINDS)}")
    if KINDS[kind].needs_other and source.identity == target.identity:
        raise UserError(f"{kind} needs another person: {target.video} and {source.video} both show {source.identity}")
    for clip in (target, source):
        if not len(clip) or not clip.valid.any():
            raise UserError(f"{clip.video}: no frame with a face")
    if face_size(target.landmarks) < SMALLEST:
        raise UserError(f"{target.video}: the face is {face_size(target.landmarks):.0f} pixels large")
    rows, columns = window(target)
    part = dataclasses.replace(
        target,
        frames=np.ascontiguousarray(target.frames[:, rows, columns]),
        landmarks=target.landmarks - np.array([columns.start, rows.start], np.float32),
    )
    rng = np.random.default_rng([seed, zlib.crc32(kind.encode())])
    made = KINDS[kind].forge(part, source, rng)
    draw = Draws(rng)
    pictures, masks = (
        pulse.change(draw, made, part.landmarks, source, other=source.identity != target.identity),
        made.mask,
    )
    for frame in np.flatnonzero(target.repeats()):  # a repeated picture is forged once
        pictures[frame], masks[frame] = pictures[frame - 1], masks[frame - 1]
    frames, mask = target.frames.copy(), np.zeros(target.frames.shape[:3], np.uint8)
    mask[:, rows, columns] = masks
    frames[:, rows, columns] = np.where(masks[..., None] > 0, pictures, part.frames)
    about = dict(
        kind=kind, target=target.video, source=source.video, identity=target.identity, source_identity=source.identity
    )
    return Forged(frames, mask, about | dict(seed=seed, forgery=made.parameters, pulse=draw.parameters))


def window(clip: RealClip) -> tuple[slice, slice]:
    """Rows and columns of the part of a clip that a forger needs: the face of all frames, with a margin."""
    around = ring(clip.landmarks, MARGIN).reshape(-1, 2)
    height, width = clip.frames.shape[1:3]
    low = np.clip(np.floor(around.min(axis=0)).astype(int), 0, [width - 2, height - 2])
    high = np.clip(np.ceil(around.max(axis=0)).astype(int) + 1, low + 2, [width, height])
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))
