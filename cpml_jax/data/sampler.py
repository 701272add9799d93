"""Which clips make a training batch: class-balanced, fakes beside their target's real video.

A batch is a pure function of (seed, step): nothing to save, and a run that was killed draws what it would have drawn.
"""

from __future__ import annotations

import functools
import os

import numpy as np

from cpml_jax.console import inform
from cpml_jax.errors import UserError
from cpml_jax.schema import FAKE, REAL

# One training clip: the rows of the index for each compression, best first.
Views = tuple[dict, ...]


def clip_views(rows: list[dict], *, compressions: tuple[str, ...], methods: tuple[str, ...], split: str) -> list[Views]:
    """Clips of a split that exist at every one of the compressions.

    Args:
      rows: the index.
      compressions: compressions, best first.
      methods: manipulations to keep; real clips always stay.
      split: train, val or test.

    Returns:
      One tuple of rows per clip, in the order of `compressions`, sorted by clip key. Clips that lack a compression are
      left out; the caller compares lengths and says so.
    """
    wanted = [r for r in rows if r["split"] == split and (r["label"] == REAL or r["method"] in methods)]
    clips: dict[str, dict[str, dict]] = {}
    for row in wanted:
        clips.setdefault(row["clip_key"], {})[row["compression"]] = row
    return [tuple(by[c] for c in compressions) for _, by in sorted(clips.items()) if all(c in by for c in compressions)]


def _of_real(row: dict) -> tuple:
    """What a real clip and the fakes made from it have in common; a fake without a target has it with no real clip."""
    video = row["video"] if row["label"] == REAL else row["target_video"]
    return row["dataset"], video, row["window"], row["compression"]


def pair_numbers(clips: list[Views]) -> list[int]:
    """(B,) a number of each clip of a batch that a real clip and the fakes made from it share, wherever they stand."""
    numbers: dict[tuple, int] = {}
    return [numbers.setdefault(_of_real(clip[0]), len(numbers)) for clip in clips]


def check_own_reals(clips: list[Views], where: str | os.PathLike) -> None:
    """For loss.push_pairs='matched': a line counts the fakes without their own real, the same window of their target.

    Args:
      clips: of the training split.
      where: what they are of, for the message.

    Raises:
      UserError: no fake has its own real, so that the push would be 0 throughout.
    """
    reals = {_of_real(clip[0]) for clip in clips if clip[0]["label"] == REAL}
    paired = [_of_real(clip[0]) in reals for clip in clips if clip[0]["label"] == FAKE]
    if paired and not any(paired):
        raise UserError(
            f"loss.push_pairs='matched': none of the {len(paired)} fakes in {where} has its own real clip there "
            "(target_video); set loss.push_pairs='all'"
        )
    if not all(paired):
        inform(
            f"{paired.count(False)} of {len(paired)} fakes have no real clip of their own in {where}; the push leaves "
            "them out (loss.push_pairs='matched')"
        )


class BalancedSampler:
    """Half a batch fakes, half real clips; a fake's real is its target's where the data set has it."""

    def __init__(self, clips: list[Views], *, batch_size: int, seed: int):
        self.fakes = [c for c in clips if c[0]["label"] == FAKE]
        self.reals = [c for c in clips if c[0]["label"] == REAL]
        if not self.fakes or not self.reals:
            raise UserError(
                f"training needs clips of both classes; the records hold {len(self.reals)} real and {len(self.fakes)} "
                "fake ones for train.compressions and train.methods"
            )
        self.half, self.seed = batch_size // 2, seed
        self._targets = {_of_real(clip[0]): index for index, clip in enumerate(self.reals)}

    @functools.lru_cache(maxsize=4)  # noqa: B019 - one sampler lives as long as the run
    def _order(self, epoch: int) -> np.ndarray:
        return np.random.default_rng((self.seed, 0, epoch)).permutation(len(self.fakes))

    def batch(self, step: int) -> list[Views]:
        """The clips of a step: (batch_size,), a real and its fake in turn."""
        chosen: list[Views] = []
        rng = np.random.default_rng((self.seed, 1, step))
        for offset in range(self.half):
            epoch, place = divmod(step * self.half + offset, len(self.fakes))
            fake = self.fakes[self._order(epoch)[place]]
            any_real = int(rng.integers(len(self.reals)))  # always drawn, so one clip's pair does not shift the others
            real = self.reals[self._targets.get(_of_real(fake[0]), any_real)]
            chosen += [real, fake]
        return chosen
