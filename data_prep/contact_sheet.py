"""A picture of what was prepared: crops over time, landmarks drawn on one, the pulse trace. To be looked at."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from cpml_jax.schema import CROP_SIZE, FRAME_RATE
from data_prep import coding

SHOWN = 6  # crops a clip
TEXT, PLOT, GAP = 210, 320, 4  # pixels
INK, PAPER, FAINT = (30, 30, 30), (250, 250, 250), (200, 200, 200)
COLOURS = {"pulse_pos": (180, 60, 40), "pulse_truth": (60, 120, 200)}


def write(path: Path, records: list[dict]) -> None:
    """Write the PNG; a row a clip. Records as for the builder (frames as JPEG bytes)."""
    rows = [row(record) for record in records] or [np.full((40, 400, 3), PAPER, np.uint8)]
    gap = np.full((GAP, rows[0].shape[1], 3), PAPER, np.uint8)
    sheet = np.concatenate([part for r in rows for part in (r, gap)])
    temporary = path.with_name(f".{path.name}")
    temporary.write_bytes(cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1].tobytes())
    temporary.replace(path)


def row(record: dict) -> np.ndarray:
    length = len(record["frames"])
    crops = [coding.decode(record["frames"][i * (length - 1) // (SHOWN - 1)]) for i in range(SHOWN)]
    middle = length // 2
    marked = draw_landmarks(coding.decode(record["frames"][middle]), record["landmarks"][middle])
    parts = [caption(record), *crops, marked, plot(record)]
    gap = np.full((CROP_SIZE, GAP, 3), PAPER, np.uint8)
    return np.concatenate([piece for part in parts for piece in (part, gap)], axis=1)


def caption(record: dict) -> np.ndarray:
    panel = np.full((CROP_SIZE, TEXT, 3), PAPER, np.uint8)
    lines = [
        f"{'FAKE' if record['label'] else 'real'}  {record['method']}",
        f"{record['compression']}  {record['split']}",
        str(record["video"])[-26:],
        f"pulse {record['heart_rate_pos']:.0f}/min, {record['snr_pos']:.1f} dB",
        f"track {record['track_quality']:.3f}, {np.mean(record['valid']):.0%} valid",
    ]
    for number, line in enumerate(lines):
        text = line.encode("ascii", "replace").decode()
        cv2.putText(panel, text, (6, 22 + 22 * number), cv2.FONT_HERSHEY_SIMPLEX, 0.45, INK, 1, cv2.LINE_AA)
    return panel


def draw_landmarks(crop: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The crop with its 68 points, drawn at three times the size so that they stay small."""
    big = cv2.resize(crop, None, fx=3, fy=3, interpolation=cv2.INTER_LINEAR)
    for x, y in (points + 1) * (CROP_SIZE * 1.5):
        cv2.circle(big, (int(round(x)), int(round(y))), 4, (60, 230, 90), -1, cv2.LINE_AA)
    return cv2.resize(big, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_AREA)


def plot(record: dict) -> np.ndarray:
    """The trace by POS, over the true wave where it is known; a faint line every second."""
    panel = np.full((CROP_SIZE, PLOT, 3), PAPER, np.uint8)
    length = len(record["pulse_pos"])
    for second in range(int(length / FRAME_RATE) + 1):
        x = int(second * FRAME_RATE / length * PLOT)
        cv2.line(panel, (x, 0), (x, CROP_SIZE), FAINT, 1)
    for name in ("pulse_truth", "pulse_pos"):
        wave = np.asarray(record[name])
        if np.isfinite(wave).all():
            x, y = np.linspace(2, PLOT - 3, length), CROP_SIZE / 2 - np.clip(wave, -3.5, 3.5) * 16
            points = np.round(np.column_stack([x, y]) * 8).astype(np.int32)
            cv2.polylines(panel, [points], False, COLOURS[name], 1, cv2.LINE_AA, 3)
    return panel
