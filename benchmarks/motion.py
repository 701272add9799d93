"""How heads, faces and cameras move: quantiles over the clips of each folder, side by side.

    python -m benchmarks.motion FOLDER [FOLDER ...] [--frames 128] [--clips 60]

A folder is searched for video files. Each gives its first face's first `--frames` frames at its own frame rate; 68
landmarks are fitted by dlib on crops enlarged to 384 pixels, three boxes averaged, and not smoothed over time, so that
real and drawn videos carry the same measuring noise. A similarity fitted to the points that no expression moves (eye
corners, nose) gives translation, scale and roll; what is left of a point is turning, expression and speech. Lengths
are in sides of the face box (f).
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import cv2
import numpy as np
from scipy.signal import savgol_filter

from cpml_jax.errors import UserError
from data_prep.face import landmarks
from data_prep.face.crop import CROP_SIZE, MARGIN, crop_path
from data_prep.face.detector import shared_detector
from data_prep.face.tracks import Track, find_tracks
from data_prep.video.reader import VideoReader

VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi")
ENLARGE = 3
RIGID = np.array([27, 28, 29, 30, 31, 33, 35, 36, 39, 42, 45])
BANDS = ((0.25, 1.0), (1.0, 2.0), (2.0, 4.0), (4.0, 8.0), (8.0, 12.0))  # Hz
QUANTILES = (10, 25, 50, 75, 90)


def fit_landmarks(pictures: list[np.ndarray], track: Track) -> np.ndarray:
    """(N, 68, 2) pixels of the source, one fit a frame, not smoothed over time."""
    path = crop_path(track, 0, len(pictures))
    size = ENLARGE * CROP_SIZE
    predictor = landmarks.load_predictor()
    half, drop = 0.5 * float(path.face[0]) * 1.05 * ENLARGE, 0.06 * float(path.face[1]) * ENLARGE
    scale = size / path.side
    c, s = scale * np.cos(path.angle), scale * np.sin(path.angle)
    rotation = np.array([[c, s], [-s, c]])
    result = np.empty((len(pictures), 68, 2))
    for index, picture in enumerate(pictures):
        shift = size / 2 - 0.5 - rotation @ (path.centre[index] - 0.5)
        crop = cv2.warpAffine(
            picture, np.column_stack([rotation, shift]), (size, size), borderMode=cv2.BORDER_REPLICATE
        )
        fits = []
        for dx, dy in ((0, 0), (5, 3), (-4, 5)):
            middle_x, middle_y = size / 2 + dx, size / 2 + drop + dy
            box = landmarks.rectangle(middle_x - half, middle_y - half, middle_x + half, middle_y + half)
            fits.append([(p.x, p.y) for p in predictor(crop, box).parts()])
        result[index] = (np.mean(fits, 0) - shift) @ np.linalg.inv(rotation).T
    return result


def similarity(points: np.ndarray, goal: np.ndarray) -> tuple[float, float, np.ndarray]:
    """(log scale, angle, translation of the centroid) that take `goal` (K, 2) to `points` (K, 2), least squares."""
    centre, mean = points.mean(0), goal.mean(0)
    a, b = (points - centre) @ [1, 1j], (goal - mean) @ [1, 1j]
    factor = np.vdot(b, a) / np.vdot(b, b)
    return float(np.log(abs(factor))), float(np.angle(factor)), centre - mean


def band_rms(values: np.ndarray, rate: float) -> list[float]:
    """Rms of each of BANDS of a signal (N, K), all columns' energy added."""
    flat = values - np.linspace(0, 1, len(values))[:, None] * (values[-1] - values[0])
    flat = (flat - flat.mean(0)) * np.hanning(len(flat))[:, None]
    power = (np.abs(np.fft.rfft(flat, axis=0)) ** 2).sum(1) * 2 / len(flat) ** 2 / 0.375
    frequency = np.fft.rfftfreq(len(flat), 1 / rate)
    return [float(np.sqrt(power[(frequency >= low) & (frequency < high)].sum())) for low, high in BANDS]


def background_steps(pictures: list[np.ndarray], track: Track) -> np.ndarray | None:
    """Shift (N - 1, 2) in pixels a frame of what is beside the head; None where nothing there can be followed."""
    height, width = pictures[0].shape[:2]
    low, high = track.centre - 0.95 * track.size, track.centre + 0.95 * track.size
    mask = np.full((height, width), 255, np.uint8)
    mask[max(0, int(low[:, 1].min())) :, max(0, int(low[:, 0].min())) : int(high[:, 0].max())] = 0
    mask[int(track.centre[:, 1].max()) :] = 0  # shoulders
    steps = []
    grey = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in pictures]
    for one, other in itertools.pairwise(grey):
        corners = cv2.goodFeaturesToTrack(one, 60, 0.02, 5, mask=mask)
        if corners is None or len(corners) < 8:
            return None
        moved, followed, _ = cv2.calcOpticalFlowPyrLK(one, other, corners, corners.copy(), winSize=(15, 15), maxLevel=2)
        good = followed[:, 0] == 1
        if good.sum() < 6:
            return None
        steps.append(np.median((moved - corners)[good, 0], 0))
    return np.array(steps)


def smoothed(values: np.ndarray, window: int) -> np.ndarray:
    """Savitzky-Golay of second order over time, (N, ...)."""
    return np.asarray(savgol_filter(values, window, 2, axis=0))


def rms(values: np.ndarray) -> float:
    """Root mean square length of vectors (..., K)."""
    return float(np.sqrt(np.mean(np.sum(np.square(values), -1))))


def blinks(opening: np.ndarray, rate: float) -> tuple[float, float, float]:
    """Blinks a minute, their median duration at half depth in s, and their depth as a share of the open eye."""
    rest = np.array([np.median(opening[max(0, i - 30) : i + 31]) for i in range(len(opening))])
    ratio = opening / rest
    shut = ratio < 0.75
    edges = np.flatnonzero(np.diff(np.concatenate([[0], shut.astype(int), [0]])))
    spans = [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a <= 0.7 * rate]
    minutes = len(opening) / rate / 60
    if not spans:
        return 0.0, np.nan, np.nan
    depths = [1 - ratio[a:b].min() for a, b in spans]
    lengths = []
    for (a, b), depth in zip(spans, depths, strict=True):
        lengths.append((ratio[max(0, a - 4) : b + 4] < 1 - depth / 2).sum() / rate)
    return len(spans) / minutes, float(np.median(lengths)), float(np.median(depths))


def describe(points: np.ndarray, track: Track, rate: float, steps: np.ndarray | None) -> dict[str, float]:
    """The figures of one clip from its landmarks (N, 68, 2) in pixels of the source."""
    face = float(np.median(track.size.max(1)))
    crop = points / face * CROP_SIZE / MARGIN
    to_centre = track.centre[: len(points), None] / face * CROP_SIZE / MARGIN
    smooth = smoothed(crop - to_centre, 7)
    figures = {
        "landmarks, smoothed: px of a 128 crop a frame": float(np.linalg.norm(np.diff(smooth, axis=0), axis=-1).mean()),
        "landmarks, smoothed: second difference, px": rms(np.diff(smooth, n=2, axis=0)),
        "landmarks, as fitted: second difference, px": rms(np.diff(crop, n=2, axis=0)),
    }
    goal = points[:, RIGID].mean(0)
    fits = [similarity(frame[RIGID], goal) for frame in points]
    log_scale, roll = np.array([f[0] for f in fits]), np.array([f[1] for f in fits])
    place = np.array([f[2] for f in fits]) / face
    figures["head: speed, f/s"] = rms(np.diff(smoothed(place, 9), axis=0)) * rate
    figures["head: acceleration, f/s2"] = rms(np.diff(smoothed(place, 9), n=2, axis=0)) * rate**2
    figures["head: reach, f"] = float(np.sqrt(place.var(0).sum()))
    figures["roll: speed, rad/s"] = rms(np.diff(smoothed(roll, 9))[:, None]) * rate
    figures["roll: reach, rad"] = float(roll.std())
    figures["log scale: speed, 1/s"] = rms(np.diff(smoothed(log_scale, 9))[:, None]) * rate
    figures["log scale: reach"] = float(log_scale.std())
    back = np.empty_like(points)
    for i, (scale, angle, shift) in enumerate(fits):
        c, s = np.cos(angle) / np.exp(scale), np.sin(angle) / np.exp(scale)
        back[i] = (points[i] - goal.mean(0) - shift) @ np.array([[c, -s], [s, c]])
    back /= face
    turn = back[:, 30] - back[:, [36, 45]].mean(1)
    jaw = back[:, [2, 3, 13, 14]].mean(1)
    figures["nose against eyes (turning): reach, f"] = float(np.sqrt(turn.var(0).sum()))
    figures["nose against eyes (turning): speed, f/s"] = rms(np.diff(smoothed(turn, 9), axis=0)) * rate
    figures["cheeks against eyes: reach, f"] = float(np.sqrt(jaw.var(0).sum()))
    figures["cheeks against eyes: speed, f/s"] = rms(np.diff(smoothed(jaw, 9), axis=0)) * rate
    mouth = np.linalg.norm(back[:, 61:64] - back[:, [67, 66, 65]], axis=-1).mean(1)
    figures["mouth opening: mean, f"] = float(mouth.mean())
    figures["mouth opening: deviation, f"] = float(mouth.std())
    figures["mouth opening: speed, f/s"] = rms(np.diff(smoothed(mouth, 5))[:, None]) * rate
    wide = np.linalg.norm(back[:, 48] - back[:, 54], axis=-1)
    figures["mouth width: deviation, f"] = float(wide.std())
    figures["mouth width: speed, f/s"] = rms(np.diff(smoothed(wide, 5))[:, None]) * rate
    chin = back[:, 8, 1]
    figures["chin: deviation, f"] = float(chin.std())
    figures["chin: speed, f/s"] = rms(np.diff(smoothed(chin, 5))[:, None]) * rate
    brow = back[:, 17:27, 1].mean(1) - back[:, [36, 39, 42, 45], 1].mean(1)
    figures["brows: deviation, f"] = float(brow.std())
    figures["brows: speed, f/s"] = rms(np.diff(smoothed(brow, 9))[:, None]) * rate
    upper = back[:, [37, 38, 43, 44], 1].mean(1)
    opening = back[:, [41, 40, 47, 46], 1].mean(1) - upper
    rate_of_blinks, length, depth = blinks(opening, rate)
    figures["blinks a minute"] = rate_of_blinks
    figures["blinks: s at half depth"] = length
    figures["blinks: depth"] = depth
    for name, values in (("head", place), ("roll", roll[:, None]), ("turning", turn), ("mouth", mouth[:, None])):
        for (low, high), value in zip(BANDS, band_rms(values, rate), strict=True):
            figures[f"{name}: rms {low:g} to {high:g} Hz, f/1000"] = 1000 * value
    if steps is not None:
        figures["background: px of a 128 crop a frame"] = rms(steps) / face * CROP_SIZE / MARGIN
        figures["background: second difference, px"] = rms(np.diff(steps, axis=0)) / face * CROP_SIZE / MARGIN
    return figures


def measure(path: Path, frames: int) -> dict[str, float]:
    """The figures of one file.

    Raises:
      UserError: no video, no face, or a face that does not last.
    """
    with VideoReader(path) as video:
        rate = video.info().fps
        shown = list(itertools.islice((picture for picture, _ in video.resampled()), int(frames * 30 / rate) + 1))
        # What the reader repeats to reach 30 frames/s is left out: the same object comes twice.
        pictures = [one for one, other in zip(shown, [None, *shown], strict=False) if one is not other][:frames]
    tracks, _ = find_tracks(pictures, shared_detector())
    if not tracks or len(tracks[0]) < frames:
        raise UserError(f"{path.name}: no face for {frames} frames")
    track, images = tracks[0], [picture.rgb for picture in pictures]
    return describe(fit_landmarks(images, track), track, rate, background_steps(images, track))


def folder_figures(folder: Path, frames: int, count: int) -> list[dict[str, float]]:
    """The figures of up to `count` files of a folder, spread over it; files without a lasting face are named."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in VIDEOS)
    paths = [paths[i] for i in np.unique(np.linspace(0, len(paths) - 1, min(count, len(paths))).astype(int))]
    rows = []
    for path in paths:
        try:
            rows.append(measure(path, frames))
        except UserError as error:
            print(f"left out: {error}", flush=True)
    return rows


def table(folders: list[tuple[str, list[dict[str, float]]]]) -> str:
    """Quantiles of every figure, a column a folder."""
    names = list(dict.fromkeys(name for _, rows in folders for row in rows for name in row))
    lines = [f"| quantiles {' / '.join(map(str, QUANTILES))} % | " + " | ".join(f"{n} ({len(r)})" for n, r in folders)]
    lines = [lines[0] + " |", "| --- |" + " --- |" * len(folders)]
    for name in names:
        cells = []
        for _, rows in folders:
            known = np.array([row[name] for row in rows if np.isfinite(row.get(name, np.nan))])
            cells.append(" / ".join(f"{v:.3g}" for v in np.percentile(known, QUANTILES)) if len(known) else "-")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--frames", type=int, default=128)
    parser.add_argument("--clips", type=int, default=60)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    folders = [(f.name, folder_figures(f, arguments.frames, arguments.clips)) for f in arguments.folders]
    print(table(folders))


if __name__ == "__main__":
    main()
