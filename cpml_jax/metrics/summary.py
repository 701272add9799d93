"""All figures of one level, clips or videos, of a result, as they stand in evaluation.json."""

from __future__ import annotations

from cpml_jax.metrics import calibration, detection
from cpml_jax.metrics.intervals import bootstrap_auc_ci95
from cpml_jax.schema import FAKE, REAL

FALSE_ALARMS = (0.01, 0.001)
# True detection rate at a false detection rate of 0.2 %, as in presentation attack detection (Deb & Jain, Look locally
# infer globally, IEEE T-IFS 16, 2021).
DETECTION_FDR = 0.002


def level(
    labels, scores, groups, *, threshold: float | None, resamples: int, probabilities=None, seed: int = 0
) -> dict:
    """Figures of scores.

    Args:
      labels: (N,) 0 real, 1 fake.
      scores: (N,) P(fake) as the model says it: what ranks, and what the threshold is for.
      groups: (N,) hashable identities, for the interval.
      threshold: chosen on the validation split.
      resamples: of the interval.
      probabilities: (N,) calibrated P(fake), for ece and brier; the scores if None.

    Returns:
      {n_real, n_fake, auc, auc_ci95, ap, eer, acc, tpr, fpr, tpr_at_fpr, tdr, ece, brier}; a figure that does not exist
      is None and `note` says why.
    """
    labels, scores = detection.check_scores(labels, scores)
    probabilities = scores if probabilities is None else probabilities
    interval, no_interval = bootstrap_auc_ci95(labels, scores, groups, resamples=resamples, seed=seed)
    at = {f"{fpr:g}": detection.tpr_at_fpr(labels, scores, fpr) for fpr in FALSE_ALARMS}
    tdr, _ = detection.tpr_at_fpr(labels, scores, DETECTION_FDR)
    hits, false_alarms = detection.rates(labels, scores, threshold)
    figures = {
        "n_real": int((labels == REAL).sum()),
        "n_fake": int((labels == FAKE).sum()),
        "auc": detection.auc(labels, scores),
        "auc_ci95": interval,
        "ap": detection.average_precision(labels, scores),
        "eer": detection.eer(labels, scores)[0],
        "acc": detection.accuracy(labels, scores, threshold),
        "tpr": hits,
        "fpr": false_alarms,
        "tpr_at_fpr": {name: share for name, (share, _) in at.items()},
        "tdr": {"fdr": DETECTION_FDR, "value": tdr},
        "ece": calibration.ece(labels, probabilities),
        "brier": calibration.brier(labels, probabilities),
    }
    no_threshold = "no threshold: validation lacks a class" if threshold is None else None
    missing = detection.undefined_reason(labels)
    few = None if missing else next((note for _, note in at.values() if note), None)
    notes = [note for note in (missing or no_interval, no_threshold, few) if note]
    return figures | ({"note": "; ".join(notes)} if notes else {})
