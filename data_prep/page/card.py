"""A clip's card on the preparation page: crops with landmarks, pulse, spectrum, numbers. HTML without scripts."""

from __future__ import annotations

import base64
import math
from html import escape
from typing import Any

import numpy as np

from cpml_jax.schema import CROP_SIZE, FRAME_RATE, REAL
from data_prep.page import plots
from data_prep.page.plots import number

SHOWN = 6  # crops per clip, spread evenly over its time
WAVES = {"pos": "POS", "chrom": "CHROM", "truth": "truth"}
# What deserves a second look; the thresholds only choose words and touch no record.
LOW_QUALITY = 0.95
ENLARGED = 0.8  # of the crop's side: a smaller face in the source has lost detail
FAR_APART = 10.0  # beats/min between POS and CHROM


def text(value: object) -> str:
    """A record's string, escaped. TFDS returns strings as bytes; names may hold anything a file system allows."""
    value = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return escape(value, quote=True)


def foreign(value: object) -> str:
    """A foreign string, escaped and isolated, so that it cannot reverse the writing direction of the text around it."""
    return f"<bdi>{text(value)}</bdi>"


def badness(record: dict) -> tuple[float, float, float]:
    """Sort key, the worst clip first: track quality to two decimals, share of valid frames, the pulse's SNR."""
    return rankable(record["track_quality"], 2), rankable(np.mean(record["valid"]), 6), rankable(record["snr_pos"], 6)


def rankable(value: Any, digits: int) -> float:
    """A number (None: unknown) as part of a sort key; unknown and infinite ones come first."""
    return -math.inf if value is None or not math.isfinite(float(value)) else round(float(value), digits)


def card(record: dict, rank: int, total: int) -> str:
    """HTML of one clip; record: schema.RECORD with frames as JPEG bytes."""
    real = int(record["label"]) == REAL
    lines = [plots.Line(kind, title, np.asarray(record[f"pulse_{kind}"])) for kind, title in WAVES.items()]
    lines = [line for line in lines if line.kind != "truth" or line.finite]
    valid = np.asarray(record["valid"], bool)
    peaks = [f"{line.name} {number(plots.peak(line))}" for line in lines]
    traces, spectra = plots.traces(lines, valid), plots.spectra(lines)
    noted = "".join(f"<li>{escape(note)}</li>" for note in notes(record))
    return (
        f'<article class="card" id="clip-{rank}"><header><p class="rank">{rank} of {total}</p>'
        f'<h3>{foreign(record["video"])}</h3><p class="tags"><b>{"real" if real else "FAKE"}</b>'
        + "".join(f" <span>{foreign(record[key])}</span>" for key in ("method", "compression", "split"))
        + f" <span>window {int(record['window'])}, from {number(record['start_s'], '.1f', ' s')}</span></p></header>"
        f"{strip(record)}"
        f'<div class="plots"><figure><figcaption>Pulse trace (z-score)</figcaption>{traces}'
        f"{plots.legend(lines, [line.name for line in lines])}</figure>"
        f"<figure><figcaption>Spectrum, peak in beats/min</figcaption>{spectra}{plots.legend(lines, peaks)}"
        f"</figure></div>"
        + (f'<ul class="notes" aria-label="Worth a second look">{noted}</ul>' if noted else "")
        + f'{numbers(record)}<p class="id">{foreign(record["clip_id"])}</p></article>'
    )


def strip(record: dict) -> str:
    """SHOWN frames side by side."""
    length = len(record["frames"])
    chosen = sorted({round(i * (length - 1) / (SHOWN - 1)) for i in range(SHOWN)})
    return f'<div class="strip">{"".join(crop(record, index) for index in chosen)}</div>'


def crop(record: dict, index: int) -> str:
    """A frame as stored, under its landmarks: light points on larger dark ones are visible on any skin."""
    data = base64.b64encode(bytes(record["frames"][index])).decode()
    points = (np.asarray(record["landmarks"][index], float) + 1) * (CROP_SIZE / 2)
    # A stroke of length zero with round caps is a dot: one path holds all of them.
    dots = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in points if np.isfinite((x, y)).all())
    good = bool(record["valid"][index])
    sign = "" if good else '<path class="cross" d="M6 6L26 26M26 6L6 26"/>'
    at = f"{index / FRAME_RATE:.1f} s"
    caption = at if good else f"<b>\N{BALLOT X} {at} filled</b>"
    size = CROP_SIZE
    return (
        f'<figure class="crop{"" if good else " bad"}"><svg viewBox="0 0 {size} {size}" role="img" '
        f'aria-label="frame {index}, {at}{"" if good else ", filled in"}"><image width="{size}" height="{size}" '
        f'href="data:image/jpeg;base64,{data}"/><g class="marks"><path d="{dots}"/><path d="{dots}"/></g>{sign}</svg>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def notes(record: dict) -> list[str]:
    """What deserves a second look, in words."""
    remarks = []
    quality, valid = record["track_quality"], np.asarray(record["valid"], bool)
    if rankable(quality, 6) < LOW_QUALITY:
        remarks.append(f"track quality {number(quality, '.3f')}, below {LOW_QUALITY}")
    if not valid.all():
        remarks.append(f"{(~valid).sum()} of {len(valid)} frames filled in")
    rates = [record["heart_rate_pos"], record["heart_rate_chrom"]]
    if any(rankable(rate, 6) < 0 for rate in rates):
        remarks.append("no heart rate: a flat trace")
    elif abs(rates[0] - rates[1]) > FAR_APART:
        remarks.append(
            f"POS and CHROM disagree on the heart rate ({number(rates[0], '.0f')}, {number(rates[1], '.0f')})"
        )
    side = box_sides(record)
    if math.isfinite(side) and 0 < side < ENLARGED * CROP_SIZE:
        remarks.append(f"the face is enlarged: {side:.0f} pixels became {CROP_SIZE}")
    outside = float(np.mean(np.abs(np.nan_to_num(np.asarray(record["landmarks"], float), nan=9.0)) > 1))
    if outside > 0.05:
        remarks.append(f"{outside:.0%} of the landmark coordinates lie outside the crop")
    return remarks


def box_sides(record: dict) -> float:
    """Mean side of the crop in the source, pixels."""
    box = np.asarray(record["box"], float)
    return float(np.mean(box[:, 2:] - box[:, :2]))


def numbers(record: dict) -> str:
    """The record's measurements and source as a list of terms."""
    box = np.asarray(record["box"], float)
    width, height = (float(np.mean(box[:, i + 2] - box[:, i])) for i in (0, 1))
    bitrate = number(np.float64(record["source_bitrate"]) / 1000, ",.0f", " kbit/s")
    rows = [
        ("track quality", number(record["track_quality"], ".3f")),
        ("valid frames", f"{number(100 * np.mean(record['valid']), '.0f', ' %')} of {len(record['valid'])}"),
        *((f"heart rate {WAVES[k]}", number(record[f"heart_rate_{k}"], ".1f", "/min")) for k in WAVES),
        *((f"SNR {WAVES[k]}", f"{number(record[f'snr_{k}'], '.1f', ' dB')} (p = {number(record[f'snr_p_{k}'], '.3f')})")
          for k in ("pos", "chrom")),
        ("crop in the source", f"{number(width, '.0f')} × {number(height, '.0f')} pixels"),
        ("source", f"{int(record['source_width'])} × {int(record['source_height'])} pixels"),
        ("source rate", number(record["source_fps"], ".5g", " frames/s")),
        ("coded as", f"{foreign(record['source_codec'])}, {bitrate}"),
    ]  # fmt: skip
    return f"<dl>{''.join(f'<div><dt>{term}</dt><dd>{value}</dd></div>' for term, value in rows)}</dl>"
