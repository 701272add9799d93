"""Confidence intervals of the AUC over people, and over people and training runs together.

Clips that share a person are alike, so the unit is the connected group of identities (people.py). The variance is
that of a U-statistic over these groups (Sen, 1960), on the logit scale, with quantiles of Student's t. Coverage of the
nominal 95 % was measured by simulation at 6 to 48 groups (tests/cpml_jax/metrics/test_coverage.py); a percentile
bootstrap over identities holds 82 % at 12.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Integer, Num
from scipy import special

from cpml_jax.metrics.detection import Labels, Scores, check_scores, undefined_reason
from cpml_jax.metrics.people import People, Units, units_of
from cpml_jax.schema import FAKE, REAL

SeedScores = Scores | Num[np.ndarray, "N S"]  # of one run, or of S seeds

LEVEL = 0.95
# Half a win and half a loss are added to this many comparisons for each unit. With 2 to 4 of them 93 to 97 % of
# intervals hold at AUCs up to 0.98; with none, 2 of 3 do, since a handful of groups often shows no variation at all.
_COMPARISONS = 3


@dataclasses.dataclass(frozen=True)
class Influence:
    """An AUC between units, and what each unit adds to it.

    Attributes:
      auc: over the pairs of a real and a fake that share no unit: a person's own real and fake are alike, and with few
        people such pairs would be a good part of all.
      of_units: (K,), summing to 0: the first-order effect of a unit on the AUC.
    """

    auc: float
    of_units: Float[np.ndarray, " K"]


def by_seed(labels: Labels, scores: SeedScores) -> tuple[Integer[np.ndarray, " N"], list[Float[np.ndarray, " N"]]]:
    """Labels (N,), and scores (N,) or (N, S) as a list of S arrays (N,); checked as detection.check_scores does."""
    columns = np.asarray(scores)
    checked = [check_scores(labels, column) for column in (columns.T if columns.ndim == 2 else [columns])]
    return checked[0][0], [column for _, column in checked]


def _wins(fakes: np.ndarray, reals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many reals each fake beats, and how many fakes each real loses to; a tie counts half on both sides."""
    ordered_reals, ordered_fakes = np.sort(reals), np.sort(fakes)
    beaten = np.searchsorted(ordered_reals, fakes, "left") + np.searchsorted(ordered_reals, fakes, "right")
    won = np.searchsorted(ordered_fakes, reals, "left") + np.searchsorted(ordered_fakes, reals, "right")
    return 0.5 * beaten, len(fakes) - 0.5 * won


def mean_auc(labels: Integer[np.ndarray, " N"], seeds: Sequence[Float[np.ndarray, " N"]]) -> float:
    """The mean over seeds of their AUC, over all pairs of a real and a fake."""
    reals = labels == REAL
    return float(np.mean([_wins(scores[~reals], scores[reals])[0].mean() for scores in seeds]) / reals.sum())


def influence(labels: Integer[np.ndarray, " N"], scores: Float[np.ndarray, " N"], units: Units) -> Influence | None:
    """The AUC between units and the units' influence on it; None where no two units compare a real with a fake."""
    ranks = np.unique(scores, return_inverse=True)[1].reshape(-1)
    fake, real = labels == FAKE, labels == REAL
    wins = np.empty(len(labels))
    wins[fake], wins[real] = _wins(ranks[fake], ranks[real])
    comparisons = np.where(fake, real.sum(), fake.sum()).astype(np.float64)
    # Take off the comparisons within a unit: ranks are shifted so that those of different units do not overlap.
    span = len(labels) + 1
    shifted = units.unit * span + ranks[units.clip]
    fake, real = fake[units.clip], real[units.clip]
    fakes_of, reals_of = (np.bincount(units.unit[kind], minlength=units.count) for kind in (fake, real))
    within = np.empty(len(shifted))
    within[fake], within[real] = _wins(shifted[fake], shifted[real])
    # Beaten reals of units before it, and fakes of units after it, are no comparisons within.
    before, after = np.cumsum(reals_of) - reals_of, fakes_of.sum() - np.cumsum(fakes_of)
    within -= np.where(fake, before[units.unit], after[units.unit])
    np.subtract.at(wins, units.clip, within)
    np.subtract.at(comparisons, units.clip, np.where(fake, reals_of[units.unit], fakes_of[units.unit]))
    pairs = comparisons[labels == FAKE].sum()
    if pairs <= 0:
        return None
    auc = float(wins[labels == FAKE].sum() / pairs)
    return Influence(auc, units.total((wins - auc * comparisons) / pairs))


def variance(methods: Sequence[Sequence[Influence]], signs: Sequence[float]) -> tuple[float, float]:
    """(variance, degrees of freedom) of a signed sum of methods' mean AUCs, each over its seeds.

    Units and seeds are two crossed random effects: the variance over units of the mean over seeds, plus that over
    seeds of each method, less that of their interaction, which both hold (Cameron, Gelbach & Miller, 2011); never less
    than one of them alone. Degrees of freedom after Satterthwaite. Seeds of two methods are taken as independent of
    each other, equal numbers or not; if they are alike, the interval is wider than it must be. A method with a single
    seed has the seeds' variance of the other one; if no method has several, the interval is over people alone.

    Args:
      methods: for each method its seeds, each with the same K >= 3 units.
      signs: of the methods.
    """
    count = len(methods[0][0].of_units)
    scale = count / (count - 2)
    effects = [np.stack([run.of_units for run in seeds]) for seeds in methods]
    mean = np.sum([sign * effect.mean(0) for sign, effect in zip(signs, effects, strict=True)], axis=0)
    units = scale * float((mean**2).sum())
    several = [index for index, seeds in enumerate(methods) if len(seeds) > 1]
    if not several:
        return units, count - 1.0
    spreads = {index: float(np.var([run.auc for run in methods[index]], ddof=1)) for index in several}
    borrowed = float(np.mean(list(spreads.values())))
    by_method = [spreads.get(index, borrowed) / len(seeds) for index, seeds in enumerate(methods)]
    runs = sum(by_method)
    interaction = sum(
        scale * float(((effects[i] - effects[i].mean(0)) ** 2).sum()) / (len(methods[i]) * (len(methods[i]) - 1))
        for i in several
    )
    total = max(units, runs, units + runs - interaction)
    freedom = float(min(len(methods[i]) for i in several) - 1)
    if len(several) == len(methods) and runs > 0:
        freedom = runs**2 / sum(v**2 / (len(seeds) - 1) for v, seeds in zip(by_method, methods, strict=True))
    parts = units**2 / (count - 1) + runs**2 / freedom
    return total, (total**2 / parts if parts > 0 else count - 1.0)


def quantile(freedom: float) -> float:
    """The two-sided 95 % quantile of Student's t."""
    return float(special.stdtrit(freedom, 0.5 + LEVEL / 2))


def one_sided_bound(units: int) -> float:
    """The 95 % lower bound of an AUC of 1 over independent units: 0.05^(1/units), about 1 - 3/units.

    The rule of three (Clopper & Pearson's bound of no failures): were a share e of units one whose fakes, or whose
    reals, lie on the wrong side of all others', the AUC would be 1 - e, and n units without such a one had probability
    (1 - e)^n.
    """
    return float((1.0 - LEVEL) ** (1.0 / units))


def auc_ci95(labels: Labels, scores: SeedScores, people: People) -> tuple[list[float] | None, str | None]:
    """95 % interval of the AUC over people or, for several seeds, of their mean AUC over people and seeds.

    Args:
      labels: (N,).
      scores: (N,), or (N, S) of S seeds.
      people: (N,), see people.People.

    Returns:
      ([low, high], note); the note is None or says how the interval is to be read. (None, reason) where there is none.
      It holds the AUC over all pairs. Of an AUC of 1 (or 0) it is one-sided: [low, 1].
    """
    checked, seeds = by_seed(labels, scores)
    reason = undefined_reason(checked)
    if reason:
        return None, reason
    units, why_not = units_of(people)
    if units is None:
        return None, why_not
    runs = [one for each in seeds if (one := influence(checked, each, units)) is not None]
    if len(runs) < len(seeds):
        return None, "no interval: no two groups of identities compare a real with a fake"
    auc = float(np.mean([run.auc for run in runs]))
    if auc in (0.0, 1.0):
        bound = one_sided_bound(units.count)
        note = f"AUC of {auc:.0f}: its interval is one-sided, by the rule of three over {units.count} groups"
        return ([bound, 1.0] if auc else [0.0, 1.0 - bound]), "; ".join(n for n in (note, units.note) if n)
    total, freedom = variance([runs], [1.0])
    extra = _COMPARISONS * units.count
    centre = (auc * extra + 0.5) / (extra + 1)
    half = quantile(freedom) * np.sqrt(total + (auc - centre) ** 2) / (centre * (1 - centre))
    low, high = special.expit(special.logit(centre) + np.array([-half, half]))
    pooled = mean_auc(checked, seeds)
    return [float(min(low, pooled, auc)), float(max(high, pooled, auc))], units.note
