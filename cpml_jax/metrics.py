"""Detection metrics: pure functions of labels and scores. Scores are P(fake); fake (1) is the positive class.

A figure that does not exist (no clips, or clips of one class only) is None, never 0.5: `undefined_reason` says why.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn import metrics as sk

from cpml_jax.errors import UserError
from cpml_jax.schema import FAKE, REAL

_CHUNK = 1 << 21  # elements of a bootstrap array that are held at once: 16 MB as float64


def check_scores(labels, scores, names: Sequence[str] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Labels (N,) int64 and scores (N,) float64.

    Args:
      labels: (N,) of 0 (real) and 1 (fake).
      scores: (N,) real numbers.
      names: (N,) what to call an entry in an error, e.g. clip ids; its number if None.

    Raises:
      UserError: a score is NaN or infinite; the first one is named.
      ValueError: the lengths differ, or a label is neither 0 nor 1.
    """
    labels, scores = np.asarray(labels, np.int64).reshape(-1), np.asarray(scores, np.float64).reshape(-1)
    if len(labels) != len(scores) or not np.isin(labels, (REAL, FAKE)).all():
        raise ValueError(f"{len(labels)} labels of 0 and 1 are needed for {len(scores)} scores")
    broken = np.flatnonzero(~np.isfinite(scores))
    if len(broken):
        name = names[broken[0]] if names is not None else f"number {broken[0]}"
        raise UserError(
            f"the score of clip {name} is {scores[broken[0]]} ({len(broken)} such of {len(scores)}): "
            "the checkpoint's parameters are damaged or diverged; evaluate another one (eval.checkpoint) or train again"
        )
    return labels, scores


def p_fake(logits) -> np.ndarray:
    """P(fake) of logits (B, 2) in the order real, fake: the softmax, (B,) float64.

    In double precision: in single precision it is exactly 1 from a difference of 17 on, and confident clips tie.
    """
    logits = np.asarray(logits, np.float64)
    difference = logits[:, FAKE] - logits[:, REAL]
    small = np.exp(-np.abs(difference))
    return np.where(difference >= 0, 1.0, small) / (1.0 + small)


def undefined_reason(labels) -> str | None:
    """Why no ranking metric exists for these labels, or None if it does."""
    present = set(np.asarray(labels, np.int64).reshape(-1).tolist())
    if not present:
        return "no clips"
    if present == {REAL}:
        return "no fake clips"
    return "no real clips" if present == {FAKE} else None


def auc(labels, scores) -> float | None:
    """Area under the ROC curve; a tie between a real and a fake counts half. None for less than two classes."""
    labels, scores = check_scores(labels, scores)
    return None if undefined_reason(labels) else float(sk.roc_auc_score(labels, scores))


def average_precision(labels, scores) -> float | None:
    """Mean precision over the recall steps (no interpolation), fakes positive. None for less than two classes."""
    labels, scores = check_scores(labels, scores)
    return None if undefined_reason(labels) else float(sk.average_precision_score(labels, scores))


def eer(labels, scores) -> tuple[float | None, float | None]:
    """Equal error rate: where the share of reals called fake equals the share of fakes called real.

    Returns:
      (rate, threshold). The rate lies on the ROC curve with straight lines between its points; the threshold is that
      of the nearest actual point (fake if score >= threshold). It is a property of these very labels: a threshold
      for decisions comes from `best_threshold` on the validation split. (None, None) for less than two classes.
    """
    labels, scores = check_scores(labels, scores)
    if undefined_reason(labels):
        return None, None
    false_alarms, hits, thresholds = sk.roc_curve(labels, scores, drop_intermediate=False)
    difference = false_alarms - (1.0 - hits)  # from -1 to 1, strictly increasing: each ROC point adds to either rate
    rate = float(np.interp(0.0, difference, false_alarms))
    nearest = int(np.argmin(np.abs(difference[1:]))) + 1  # the first point's threshold is infinite
    return rate, float(thresholds[nearest])


def accuracy(labels, scores, threshold: float | None) -> float | None:
    """Share of right decisions (fake if score >= threshold). None without clips or without a threshold."""
    labels, scores = check_scores(labels, scores)
    if threshold is None or len(labels) == 0:
        return None
    return float(((scores >= threshold) == (labels == FAKE)).mean())


THRESHOLD_RULE = "maximises balanced accuracy on the validation split"


def best_threshold(labels, scores) -> float | None:
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


def bootstrap_auc_ci95(
    labels, scores, groups, *, resamples: int = 1000, seed: int = 0
) -> tuple[list[float] | None, str | None]:
    """95 % percentile interval of the AUC by the bootstrap over identities (cluster bootstrap).

    Clips of one identity are alike, so identities are drawn with replacement, each with all of its clips; drawing
    clips would give intervals that are too narrow.

    Args:
      labels, scores: (N,).
      groups: (N,) hashable, the identity of every clip.
      resamples: how many; 0 switches the interval off.
      seed: of NumPy's generator; the same arguments give the same interval.

    Returns:
      ([low, high], None), or (None, reason) where there is no interval. Resamples in which a class is missing
      have no AUC and are left out; if those are more than half, there is no interval.
    """
    labels, scores = check_scores(labels, scores)
    reason = undefined_reason(labels)
    if reason or resamples <= 0:
        return None, reason or "no interval asked for"
    names = {name: index for index, name in enumerate(dict.fromkeys(groups))}
    if len(names) < 2:
        return None, "no interval: a single identity"
    order = np.argsort(scores, kind="stable")
    labels, scores = labels[order], scores[order]
    member = np.asarray([names[g] for g in groups])[order]
    first, last = np.searchsorted(scores, scores, "left"), np.searchsorted(scores, scores, "right")

    rng = np.random.default_rng(seed)
    values = []
    step = max(1, _CHUNK // max(len(scores), len(names)))
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        times = rng.multinomial(len(names), np.full(len(names), 1.0 / len(names)), size=count)
        values.append(_weighted_auc(labels, times[:, member].astype(np.float64), first, last))
    values = np.concatenate(values)
    values = values[np.isfinite(values)]
    if 2 * len(values) < resamples:
        return None, "no interval: most resamples of the identities lack a class"
    low, high = np.percentile(values, (2.5, 97.5))
    return [float(low), float(high)], None


def _weighted_auc(labels: np.ndarray, weights: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """AUC of R weightings (R, N) of clips sorted by score; first and last bound each clip's run of equal scores."""
    real, fake = weights * (labels == REAL), weights * (labels == FAKE)
    below = np.concatenate([np.zeros((len(weights), 1)), np.cumsum(real, axis=1)], axis=1)
    won = (fake * 0.5 * (below[:, first] + below[:, last])).sum(1)
    pairs = real.sum(1) * fake.sum(1)
    return np.divide(won, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)


def video_level(rows: Sequence[dict], scores) -> tuple[list[dict], np.ndarray]:
    """One score a video: the mean over its clips.

    Args:
      rows: (N,) of the index. Clips are of one video if their schema.video_key is the same: data set, method,
        compression and id. The id alone would merge `000_003` of four methods.
      scores: (N,).

    Returns:
      (the first row of every video, in order of appearance; (M,) float64 mean scores).
    """
    scores = np.asarray(scores, np.float64).reshape(-1)
    places: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        places.setdefault(row["video_key"], []).append(index)
    for key, members in places.items():
        if len({rows[i]["label"] for i in members}) > 1:
            raise ValueError(f"clips of video {key} carry both labels")
    return [rows[m[0]] for m in places.values()], np.asarray([scores[m].mean() for m in places.values()], np.float64)


def summary(labels, scores, groups, *, threshold: float | None, resamples: int, seed: int = 0) -> dict:
    """All figures of one level (clip or video) of a result, as they stand in evaluation.json.

    Returns:
      {n_real, n_fake, auc, auc_ci95, ap, eer, acc}; a figure that does not exist is None and `note` says why.
    """
    labels, scores = check_scores(labels, scores)
    interval, no_interval = bootstrap_auc_ci95(labels, scores, groups, resamples=resamples, seed=seed)
    figures = {
        "n_real": int((labels == REAL).sum()),
        "n_fake": int((labels == FAKE).sum()),
        "auc": auc(labels, scores),
        "auc_ci95": interval,
        "ap": average_precision(labels, scores),
        "eer": eer(labels, scores)[0],
        "acc": accuracy(labels, scores, threshold),
    }
    no_threshold = "no threshold: validation lacks a class" if threshold is None else None
    notes = [note for note in (undefined_reason(labels) or no_interval, no_threshold) if note]
    return figures | ({"note": "; ".join(notes)} if notes else {})
