"""The three sentences of a video's page: what it is called and how sure, how far it is from what the model knows, and
what the guarantee is and is not."""

from __future__ import annotations

from collections.abc import Mapping

from cpml_jax.evaluation.verdict import UNDETERMINED
from cpml_jax.report.run_files import number
from cpml_jax.report.words import figure_of, text

DISAGREE = 10.0  # beats/min between two methods, beyond what one of them is off where there is a pulse


def verdict(answer: Mapping) -> str:
    """HTML: a list of three, what the guarantee lacks in this run, and what is read of the pulse."""
    items = "".join(f"<li>{sentence}</li>" for sentence in (called(answer), distance(answer), guarantee(answer)))
    note = answer.get("doubt_note") if answer.get("doubt") else None
    limits = f'<p class="soft">Of the guarantee: {text(note)}.</p>' if note else ""
    return f'<ol class="verdict">{items}</ol>{limits}{pulse(answer)}'


def called(answer: Mapping) -> str:
    """What the video is called, and how sure."""
    threshold, calibration = answer.get("threshold") or {}, answer.get("calibration") or {}
    side = "at or above" if (answer.get("leaning") or answer["label"]) == "fake" else "below"
    score, value = figure_of(answer["score"]), figure_of(threshold.get("value"))
    rule = "chosen on the validation split" if threshold.get("from") == "validation" else "the default, not calibrated"
    low, high = (calibration.get("bounds") or (None, None))[:2]
    bounds = ""
    if number(low) is not None and number(high) is not None:
        why = (
            "as few people as validation shows support no more certainty than from"
            if calibration.get("from") == "validation"
            else "a run that was not evaluated supports no more than from"
        )
        bounds = f"; {why} {figure_of(low, 2)} to {figure_of(high, 2)}"
    if answer["label"] == UNDETERMINED:
        return (
            f"Called <b>undetermined</b>: the calibrated P(fake) of {score} would be {side} the threshold {value} "
            f"({text(answer.get('leaning'))}), but the model does not know videos like this one{bounds}."
        )
    return (
        f"Called <b>{text(answer['label'])}</b>: the calibrated P(fake) of {score} is {side} the threshold {value} "
        f"({rule}){bounds}."
    )


def distance(answer: Mapping) -> str:
    """How far the video is from what the model knows."""
    doubt = answer.get("doubt")
    if not doubt:
        return (
            "How far this video is from what the model was trained on is <b>not known</b> "
            f"({text(answer.get('doubt_note') or 'it was not measured')}): the score may be of something it never saw."
        )
    share = figure_of(100 * doubt["p"], 1, " %")
    level = figure_of(100 * doubt["level"], 0 if doubt["level"] >= 0.01 else 2, " %")
    held = f"{doubt['count']:,} {text(doubt['p_over'])} of {text(doubt['sources'])}"
    if answer["label"] != UNDETERMINED:
        return (
            f"It is no further from the training videos than held-out ones are: {share} of those are as far or further "
            f"(p = {figure_of(doubt['p'])} over {held}); at {level} or less it would be undetermined."
        )
    reasons = "; ".join(text(reason) for reason in doubt.get("reasons") or ())
    return (
        f"It lies further from the training videos than held-out ones do, of which at most {share} are as far (p = "
        f"{figure_of(doubt['p'])} over {held}; {level} or less is undetermined): {reasons}. Undetermined means that "
        "the score says nothing about this video, neither for nor against it."
    )


def guarantee(answer: Mapping) -> str:
    """What is guaranteed, and what is not."""
    doubt = answer.get("doubt")
    if not doubt:
        return "Nothing is guaranteed about this answer."
    level = figure_of(100 * doubt["level"], 0 if doubt["level"] >= 0.01 else 2, " %")
    return (
        f"Of videos made like the held-out ones (exchangeable with them) about {level} or fewer are called "
        "undetermined by mistake; nothing is guaranteed of others, nor that what is called is called rightly: a "
        "forgery of a new kind may look familiar, and then it is called with a score that is wrong."
    )


def pulse(answer: Mapping) -> str:
    """HTML: the heart rates, with a caution where two methods disagree."""
    rate, classical = number(answer.get("heart_rate_bpm")), number(answer.get("heart_rate_pos_bpm"))
    if rate is None and classical is None:
        return "<p>No heart rate is given: the classical trace has no pulse beyond noise in this video.</p>"

    def told(value: float, snr: object) -> str:
        known = number(snr)
        return f"{value:.0f} beats/min" + ("" if known is None else f" (SNR {figure_of(known, 1, ' dB')})")

    parts = [] if rate is None else [f"The model reads a pulse of {told(rate, answer.get('heart_rate_snr_db'))}"]
    if classical is not None:
        parts.append(f"the classical method {told(classical, answer.get('heart_rate_pos_snr_db'))}")
    sentence = "; ".join(parts)
    apart = rate is not None and classical is not None and abs(rate - classical) > DISAGREE
    caution = " They disagree: take neither for a heart rate." if apart else ""
    return f"<p>{sentence[0].upper()}{sentence[1:]}.{caution}</p>"
