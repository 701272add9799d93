"""Detection metrics: pure functions of labels and scores. Scores are P(fake); fake (1) is the positive class.

A figure that does not exist (no clips, or clips of one class only) is None, never 0.5: `undefined_reason` says why.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import ModuleType

import numpy as np
from jaxtyping import Bool, Float, Integer, Num

from cpml_jax.errors import UserError
from cpml_jax.schema import FAKE, REAL

# What the metrics take: arrays, whose shapes are checked, or plain sequences.
Labels = Integer[np.ndarray, " N"] | Bool[np.ndarray, " N"] | Sequence[int]
Scores = Num[np.ndarray, " N"] | Sequence[float | int]


def check_scores(
    labels: Labels, scores: Scores, names: Sequence[str] | None = None
) -> tuple[Integer[np.ndarray, " N"], Float[np.ndarray, " N"]]:
    """Labels (N,) int64 and scores (N,) float64.

    Args:
      labels: (N,) of 0 (real) and 1 (fake).
      scores: (N,) real numbers.
      names: (N,) what to call an entry in an error, e.g. clip ids; its number if None.

    Raises:
      UserError: a score is NaN or infinite; the first one is named.
      ValueError: the lengths differ, or a label is neither 0 nor 1.
    """
    checked, values = np.asarray(labels, np.int64).reshape(-1), np.asarray(scores, np.float64).reshape(-1)
    if len(checked) != len(values) or not np.isin(checked, (REAL, FAKE)).all():
        raise ValueError(f"{len(checked)} labels of 0 and 1 are needed for {len(values)} scores")
    broken = np.flatnonzero(~np.isfinite(values))
    if len(broken):
        name = names[broken[0]] if names is not None else f"number {broken[0]}"
        raise UserError(
            f"the score of clip {name} is {values[broken[0]]} ({len(broken)} such of {len(values)}): "
            "the checkpoint's parameters are damaged or diverged; evaluate another one (eval.checkpoint) or train again"
        )
    return checked, values


def sigmoid(margins: Num[np.ndarray, "*shape"] | Sequence[float]) -> Float[np.ndarray, "*shape"]:
    """1 / (1 + exp(-margin)), float64, without overflow.

    SciPy's expit differs in the last bit for a quarter of all margins; published figures were made with this form.
    """
    margins = np.asarray(margins, np.float64)
    small = np.exp(-np.abs(margins))
    return np.where(margins >= 0, 1.0, small) / (1.0 + small)


def fake_margin(logits: Num[np.ndarray, "B 2"]) -> Float[np.ndarray, " B"]:
    """Logit of fake minus logit of real (B,) float64: what the temperature divides."""
    logits = np.asarray(logits, np.float64)
    return logits[:, FAKE] - logits[:, REAL]


def p_fake(logits: Num[np.ndarray, "B 2"]) -> Float[np.ndarray, " B"]:
    """P(fake) of logits (B, 2) in the order real, fake: the softmax, (B,) float64.

    In double precision: in single precision it is exactly 1 from a difference of 17 on, and confident clips tie.
    """
    return sigmoid(fake_margin(logits))


def _sklearn() -> ModuleType:
    """Of a video's answer, which has no such figure, it would be a second's wait."""
    from sklearn import metrics

    return metrics


def undefined_reason(labels: Labels) -> str | None:
    """Why no ranking metric exists for these labels, or None if it does."""
    present = set(np.asarray(labels, np.int64).reshape(-1).tolist())
    if not present:
        return "no clips"
    if present == {REAL}:
        return "no fake clips"
    return "no real clips" if present == {FAKE} else None


def auc(labels: Labels, scores: Scores) -> float | None:
    """Area under the ROC curve; a tie between a real and a fake counts half. None for less than two classes."""
    labels, scores = check_scores(labels, scores)
    return None if undefined_reason(labels) else float(_sklearn().roc_auc_score(labels, scores))


def average_precision(labels: Labels, scores: Scores) -> float | None:
    """Mean precision over the recall steps (no interpolation), fakes positive. None for less than two classes."""
    labels, scores = check_scores(labels, scores)
    if undefined_reason(labels):
        return None
    return min(
        1.0, float(_sklearn().average_precision_score(labels, scores))
    )  # its sum may end a rounding error above 1


def eer(labels: Labels, scores: Scores) -> tuple[float | None, float | None]:
    """Equal error rate: where the share of reals called fake equals the share of fakes called real.

    Returns:
      (rate, threshold). The rate lies on the ROC curve with straight lines between its points; the threshold is that
      of the nearest actual point (fake if score >= threshold). It is a property of these very labels: a threshold
      for decisions comes from `best_threshold` on the validation split. (None, None) for less than two classes.
    """
    labels, scores = check_scores(labels, scores)
    if undefined_reason(labels):
        return None, None
    false_alarms, hits, thresholds = _sklearn().roc_curve(labels, scores, drop_intermediate=False)
    difference = false_alarms - (1.0 - hits)  # from -1 to 1, strictly increasing: each ROC point adds to either rate
    rate = float(np.interp(0.0, difference, false_alarms))
    nearest = int(np.argmin(np.abs(difference[1:]))) + 1  # the first point's threshold is infinite
    return rate, float(thresholds[nearest])


def tpr_at_fpr(labels: Labels, scores: Scores, fpr: float) -> tuple[float | None, str | None]:
    """The largest share of fakes that is detected while at most that share of the tested reals is called fake.

    A property of these very labels, as the EER: its threshold lies among the reals that are tested.

    Args:
      labels, scores: (N,).
      fpr: share of false alarms that is allowed.

    Returns:
      (share, note). With fewer than 1/fpr reals no false alarm at all is allowed, and the note says so: the figure is
      then the share of fakes above the highest real. (None, reason) for less than two classes.
    """
    labels, scores = check_scores(labels, scores)
    reason = undefined_reason(labels)
    if reason:
        return None, reason
    false_alarms, hits, _ = _sklearn().roc_curve(labels, scores, drop_intermediate=False)
    share = float(hits[false_alarms <= fpr].max())
    n_real = int((labels == REAL).sum())
    few = f"TPR at FPR {fpr:g} is that at no false alarm: {n_real} reals are fewer than {math.ceil(1 / fpr - 1e-9)}"
    return share, few if n_real * fpr < 1 - 1e-9 else None


def rates(labels: Labels, scores: Scores, threshold: float | None) -> tuple[float | None, float | None]:
    """(share of fakes called fake, share of reals called fake) at a threshold; None where there is nothing to share."""
    labels, scores = check_scores(labels, scores)
    if threshold is None:
        return None, None
    called = scores >= threshold
    of_fakes, of_reals = (
        float(called[labels == label].mean()) if (labels == label).any() else None for label in (FAKE, REAL)
    )
    return of_fakes, of_reals


def accuracy(labels: Labels, scores: Scores, threshold: float | None) -> float | None:
    """Share of right decisions (fake if score >= threshold). None without clips or without a threshold."""
    labels, scores = check_scores(labels, scores)
    if threshold is None or len(labels) == 0:
        return None
    return float(((scores >= threshold) == (labels == FAKE)).mean())


THRESHOLD_RULE = "maximises balanced accuracy on the validation split"


def best_threshold(labels: Labels, scores: Scores) -> float | None:
    """The threshold that maximises balanced accuracy: the mean of the two classes' shares of right decisions.

    Balanced, because the field's sets hold four or more fakes for every real: plain accuracy is then nearly won by
    calling everything fake, and the threshold would tell the mix of classes rather than the separation of scores.
    Candidates lie midway between neighbouring distinct scores, so a threshold has room on both sides; of equally
    good ones the one in the widest gap is taken, then the lowest. If all scores are equal, that score.

    Returns:
      The threshold (fake if score >= threshold), or None for less than two classes.
    """
    labels, scores = check_scores(labels, scores)
    if undefined_reason(labels):
        return None
    distinct, inverse = np.unique(scores, return_inverse=True)
    if len(distinct) == 1:
        return float(distinct[0])
    reals = np.bincount(inverse[labels == REAL], minlength=len(distinct)).cumsum()[:-1]
    fakes = np.bincount(inverse[labels == FAKE], minlength=len(distinct)).cumsum()[:-1]
    n_real, n_fake = int((labels == REAL).sum()), int((labels == FAKE).sum())
    # In whole numbers, so that equally good candidates are exactly equal.
    balanced = reals * n_fake + (n_fake - fakes) * n_real
    best = np.flatnonzero(balanced == balanced.max())
    gaps = np.diff(distinct)
    lower = int(best[np.argmax(gaps[best])])
    middle = distinct[lower] + 0.5 * gaps[lower]
    return float(middle if middle > distinct[lower] else distinct[lower + 1])  # neighbouring floats have no middle
