"""Classical pulse traces from skin colour: POS and CHROM, their heart rate and signal-to-noise ratio."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import signal as sps

BAND_HZ = (0.6, 4.0)  # docs/method.md, Losses
RATES = (40.0, 180.0)  # beats/min that are reported
_TINY = 1e-9
# iBUG-68: the jaw, closed over the brows, encloses the face; eyes and mouth move without a pulse and are cut out.
_OUTLINE = [*range(17), *range(26, 16, -1)]
_HOLES = ([*range(36, 42)], [*range(42, 48)], [*range(48, 60)])


def identity() -> dict[str, list[float]]:
    """What pulse traces depend on beside the crop and its landmarks."""
    return dict(band_hz=list(BAND_HZ))


def skin_mask(landmarks: np.ndarray, size: int) -> np.ndarray:
    """Skin of the face inside the landmarks, without eyes and mouth.

    Args:
      landmarks: (68, 2) in [-1, 1] of the crop.
      size: side of the crop, pixels.

    Returns:
      (size, size) bool; never empty: the crop's middle when the landmarks enclose nothing.
    """
    points = np.round((landmarks + 1) * (size / 2)).astype(np.int32)
    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [points[_OUTLINE]], 1)
    for hole in _HOLES:
        cv2.fillPoly(mask, [cv2.convexHull(points[hole])], 0)
    if mask.sum() < 0.02 * size * size:
        quarter = size // 4
        mask[quarter:-quarter, quarter:-quarter] = 1
    return mask.astype(bool)


def skin_means(frames: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Mean colour of the skin in each frame.

    One mask, that of the mean landmarks, serves the whole clip: a mask that follows every frame's landmarks lets their
    jitter into the trace.

    Args:
      frames: (T, S, S, 3) uint8 RGB.
      landmarks: (T, 68, 2) in [-1, 1].

    Returns:
      (T, 3) float64.
    """
    mask = skin_mask(landmarks.mean(axis=0), frames.shape[1]).astype(np.uint8)
    return np.array([cv2.mean(frame, mask)[:3] for frame in frames])


def pos(rgb: np.ndarray, fps: float) -> np.ndarray:
    """Plane-orthogonal-to-skin (Wang et al., IEEE TBME 2017, algorithm 1), windows of 1.6 s overlap-added.

    Args:
      rgb: (T, 3) mean skin colours.
      fps: frames/s.

    Returns:
      (T,) float64, band-passed 0.6..4 Hz and z-scored.
    """
    size = min(len(rgb), int(np.ceil(1.6 * fps)))
    windows = np.lib.stride_tricks.sliding_window_view(np.asarray(rgb, np.float64), size, axis=0)  # (N, 3, size)
    red, green, blue = (windows / np.maximum(windows.mean(-1, keepdims=True), _TINY)).swapaxes(0, 1)
    s1, s2 = green - blue, green + blue - 2 * red
    h = s1 + s1.std(-1, keepdims=True) / np.maximum(s2.std(-1, keepdims=True), _TINY) * s2
    h -= h.mean(-1, keepdims=True)
    trace, count = np.zeros(len(rgb)), np.zeros(len(rgb))
    for place in range(size):
        trace[place : place + len(h)] += h[:, place]
        count[place : place + len(h)] += 1
    # The mean over the windows, not their sum: a clip of 160 frames would fade in and out over a third of itself.
    return band_pass(trace / count, fps)


def chrom(rgb: np.ndarray, fps: float) -> np.ndarray:
    """Chrominance method (de Haan and Jeanne, IEEE TBME 2013), Hann windows of 1.6 s, half overlapping.

    Arguments and result as of `pos`.
    """
    size = min(len(rgb), int(np.ceil(1.6 * fps)))
    size -= size % 2
    trace = np.zeros(len(rgb))
    # Starts reach to the very end, so that the last frames are not left without a window.
    for start in sorted({*range(0, len(rgb) - size + 1, size // 2), len(rgb) - size}):
        window = slice(start, start + size)
        normal = rgb[window] / np.maximum(rgb[window].mean(axis=0), _TINY) - 1
        x = band_pass(3 * normal[:, 0] - 2 * normal[:, 1], fps, scaled=False)
        y = band_pass(1.5 * normal[:, 0] + normal[:, 1] - 1.5 * normal[:, 2], fps, scaled=False)
        s = x - x.std() / max(y.std(), _TINY) * y
        trace[window] += np.hanning(size) * s
    # CHROM's sign is opposite to POS's: the blood volume's rise darkens the skin.
    return band_pass(-trace if _opposite(trace, rgb, fps) else trace, fps)


def _opposite(trace: np.ndarray, rgb: np.ndarray, fps: float) -> bool:
    reference = pos(rgb, fps)
    return float(np.dot(trace - trace.mean(), reference)) < 0


def band_pass(trace: np.ndarray, fps: float, *, scaled: bool = True) -> np.ndarray:
    """Zero-phase second-order Butterworth, 0.6..4 Hz; with `scaled` also z-scored (a flat trace stays zero)."""
    sos = sps.butter(2, BAND_HZ, btype="bandpass", fs=fps, output="sos")
    filtered = sps.sosfiltfilt(sos, trace - trace.mean(), padlen=min(len(trace) - 1, int(fps)))
    if not scaled:
        return filtered
    deviation = filtered.std()
    return (filtered - filtered.mean()) / deviation if deviation > 1e-12 else np.zeros_like(filtered)


def spectrum(trace: np.ndarray, fps: float) -> tuple[np.ndarray, np.ndarray]:
    """Rates in beats/min (a bin is about 0.22) and the Hann-windowed power."""
    padded = 8192
    power = np.abs(np.fft.rfft((trace - trace.mean()) * np.hanning(len(trace)), padded)) ** 2
    return np.fft.rfftfreq(padded, 1 / fps) * 60, power


def heart_rate(trace: np.ndarray, fps: float) -> float:
    """Rate of the spectral peak in 40..180 beats/min; NaN for a flat trace."""
    rates, power = spectrum(trace, fps)
    band = (rates >= RATES[0]) & (rates <= RATES[1])
    return float(rates[band][np.argmax(power[band])]) if power[band].max() > 0 else float("nan")


def snr(trace: np.ndarray, fps: float) -> float:
    """Signal-to-noise ratio in dB (de Haan and Jeanne, 2013): power within 6 beats/min of the trace's own rate and
    within 12 of its double, over the rest of 40..240 beats/min. NaN for a flat trace.
    """
    rate = heart_rate(trace, fps)
    if not np.isfinite(rate):
        return float("nan")
    rates, power = spectrum(trace, fps)
    inside = (rates >= 40) & (rates <= 240)
    signal = inside & ((np.abs(rates - rate) <= 6) | (np.abs(rates - 2 * rate) <= 12))
    return float(10 * np.log10(power[signal].sum() / max(power[inside & ~signal].sum(), _TINY)))
