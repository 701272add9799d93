"""Ten clips, and how far a program's scores are from Flax's."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import jax
import numpy as np

from cpml_jax.errors import UserError
from cpml_jax.portable.program import Program
from cpml_jax.schema import FRAME_RATE

CLIPS = 10
TOLERANCE = 1e-4  # of margins and of P(fake)

Arrays = dict[str, np.ndarray]
Run = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]


def trial_clips(program: Program, count: int = CLIPS, seed: int = 0) -> Arrays:
    """Clips that differ in all that a stream reads: a patchwork that drifts, brightens and beats; points that move."""
    rng = np.random.default_rng(seed)
    made = {}
    for name, argument in program.arguments(count).items():
        shape = argument.shape
        if argument.dtype == np.uint8:  # (B, T, S, S, 3)
            side, seconds = shape[2], np.arange(shape[1]) / FRAME_RATE
            cells = rng.integers(40, 216, (count, 1, -(-side // 4), -(-side // 4), 3)).astype(np.float32)
            still = cells.repeat(4, axis=2).repeat(4, axis=3)[:, :, :side, :side]
            beat = np.sin(2 * np.pi * (rng.uniform(0.8, 2.5, (count, 1)) * seconds + rng.uniform(size=(count, 1))))
            moving = still + rng.uniform(1, 12, (count, 1, 1, 1, 3)) * beat[..., None, None, None]
            made[name] = np.clip(moving + rng.normal(scale=4, size=shape), 0, 255).astype(np.uint8)
        elif name == "landmarks":  # (B, T, 68, 2)
            place, steps = rng.uniform(-0.7, 0.7, (count, 1, *shape[2:])), rng.normal(scale=0.004, size=shape)
            made[name] = (place + steps.cumsum(axis=1)).astype(np.float32)
        else:
            made[name] = rng.normal(size=shape).astype(np.float32)
    return made


def difference(program: Program, run: Run) -> float:
    """The largest one between a program's margins and P(fake) of the ten clips, and Flax's.

    Args:
      run: inputs -> outputs by name.
    """
    clips = trial_clips(program)
    wanted, given = jax.device_get(jax.jit(program.function())(**clips)), run(clips)
    return float(np.max([np.abs(wanted[name] - np.asarray(given[name])) for name in ("margin", "p_fake")]))


def checked(what: str, program: Program, run: Run) -> float:
    """`difference`.

    Raises:
      UserError: it is larger than TOLERANCE, or no number.
    """
    largest = difference(program, run)
    if not largest <= TOLERANCE:
        raise UserError(
            f"{what}: its scores of {CLIPS} clips differ from the model's by {largest:.2g}, more than {TOLERANCE}: it "
            "is not written; please report this model's configuration"
        )
    return largest
