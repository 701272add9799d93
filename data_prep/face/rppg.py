"""Classical pulse traces from skin colour: POS and CHROM, their heart rate and signal-to-noise ratio."""

from __future__ import annotations

import functools

import cv2
import numpy as np

from cpml_jax.schema import PULSE_BAND_HZ
from data_prep.face import butterworth

RATES = (40.0, 180.0)  # beats/min that are reported
NULL_DRAWS = 999  # of noise: p values down to 0.001
_TINY = 1e-9
# iBUG-68: the jaw, closed over the brows, encloses the face; eyes and mouth move without a pulse and are cut out.
_OUTLINE = [*range(17), *range(26, 16, -1)]
_HOLES = ([*range(36, 42)], [*range(42, 48)], [*range(48, 60)])


def identity() -> dict[str, list[float] | str]:
    """What pulse traces depend on beside the crop and its landmarks."""
    return dict(band_hz=list(PULSE_BAND_HZ), chrom_sign="theory")


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
      rgb: (..., T, 3) mean skin colours.
      fps: frames/s.

    Returns:
      (..., T) float64, band-passed 0.6..4 Hz and z-scored; positive where the skin is brighter.
    """
    length = rgb.shape[-2]
    size = min(length, int(np.ceil(1.6 * fps)))
    windows = np.lib.stride_tricks.sliding_window_view(np.asarray(rgb, np.float64), size, axis=-2)  # (..., N, 3, size)
    red, green, blue = np.moveaxis(windows / np.maximum(windows.mean(-1, keepdims=True), _TINY), -2, 0)
    s1, s2 = green - blue, green + blue - 2 * red
    h = s1 + s1.std(-1, keepdims=True) / np.maximum(s2.std(-1, keepdims=True), _TINY) * s2
    h -= h.mean(-1, keepdims=True)
    trace, count = np.zeros(rgb.shape[:-1]), np.zeros(length)
    for place in range(size):
        trace[..., place : place + h.shape[-2]] += h[..., place]
        count[place : place + h.shape[-2]] += 1
    # The mean over the windows, not their sum: a clip of 160 frames would fade in and out over a third of itself.
    return band_pass(trace / count, fps)


def chrom(rgb: np.ndarray, fps: float) -> np.ndarray:
    """Chrominance method (de Haan and Jeanne, IEEE TBME 2013), Hann windows of 1.6 s, half overlapping.

    Arguments and result as of `pos`. The published signal X - alpha Y falls where the skin brightens: with the pulse's
    share of R, G, B of 0.33, 0.77, 0.53 (Wang et al., 2017) X is -0.55 and Y is +0.47. So its negative is returned.
    """
    length = rgb.shape[-2]
    size = min(length, int(np.ceil(1.6 * fps)))
    size -= size % 2
    trace = np.zeros(rgb.shape[:-1])
    # Starts reach to the very end, so that the last frames are not left without a window.
    for start in sorted({*range(0, length - size + 1, size // 2), length - size}):
        window = slice(start, start + size)
        normal = rgb[..., window, :] / np.maximum(rgb[..., window, :].mean(axis=-2, keepdims=True), _TINY) - 1
        red, green, blue = np.moveaxis(normal, -1, 0)
        x = band_pass(3 * red - 2 * green, fps, scaled=False)
        y = band_pass(1.5 * red + green - 1.5 * blue, fps, scaled=False)
        s = x - x.std(-1, keepdims=True) / np.maximum(y.std(-1, keepdims=True), _TINY) * y
        trace[..., window] -= np.hanning(size) * s
    return band_pass(trace, fps)


def band_pass(trace: np.ndarray, fps: float, *, scaled: bool = True) -> np.ndarray:
    """Zero-phase second-order Butterworth, 0.6..4 Hz, over the last axis; with `scaled` also z-scored (a flat trace
    stays zero)."""
    low, high = PULSE_BAND_HZ
    filtered = butterworth.filtfilt(trace, low / fps, high / fps, padding=min(trace.shape[-1] - 1, int(fps)))
    if not scaled:
        return filtered
    deviation = filtered.std(-1, keepdims=True)
    moving = deviation > 1e-12
    return np.where(moving, (filtered - filtered.mean(-1, keepdims=True)) / np.where(moving, deviation, 1.0), 0.0)


def spectrum(trace: np.ndarray, fps: float) -> tuple[np.ndarray, np.ndarray]:
    """Rates in beats/min (a bin is about 0.22), and the Hann-windowed power (..., rates) of traces (..., T)."""
    padded = 8192
    centred = trace - trace.mean(-1, keepdims=True)
    power = np.abs(np.fft.rfft(centred * np.hanning(trace.shape[-1]), padded)) ** 2
    return np.fft.rfftfreq(padded, 1 / fps) * 60, power


def heart_rate(trace: np.ndarray, fps: float) -> float:
    """Rate of the spectral peak in 40..180 beats/min; NaN for a flat trace (T,)."""
    return float(_peak(*spectrum(trace, fps)))


def _peak(rates: np.ndarray, power: np.ndarray) -> np.ndarray:
    band = (rates >= RATES[0]) & (rates <= RATES[1])
    inside = power[..., band]
    return np.where(inside.max(-1) > 0, rates[band][inside.argmax(-1)], np.nan)


def snr(trace: np.ndarray, fps: float) -> float:
    """Signal-to-noise ratio in dB (de Haan and Jeanne, 2013) of a trace (T,): power within 6 beats/min of its own rate
    and within 12 of its double, over the rest of 40..240 beats/min. NaN for a flat trace.

    In clips of some seconds the ratio has no absolute meaning: in 128 frames a pure sine reaches 0.4 to 1.8 dB, because
    its spectral line is wider than the 6 beats/min, and noise gives -5 (5 to 95 %: -8 to -2). `snr_p_value` says which
    ratios are more than noise.
    """
    return float(_snr(trace, fps))


def _snr(trace: np.ndarray, fps: float) -> np.ndarray:
    """(...) dB of traces (..., T)."""
    rates, power = spectrum(trace, fps)
    rate = _peak(rates, power)[..., None]
    counted = (rates >= 40) & (rates <= 240)
    signal = counted & ((np.abs(rates - rate) <= 6) | (np.abs(rates - 2 * rate) <= 12))
    whole = np.where(counted, power, 0.0).sum(-1)
    within = np.where(signal, power, 0.0).sum(-1)
    return np.where(whole > 0, 10 * np.log10(np.maximum(within, _TINY) / np.maximum(whole - within, _TINY)), np.nan)


def snr_p_value(value: float, method: str, length: int, fps: float) -> float:
    """How often noise alone gives a signal-to-noise ratio at least this high: (1 + count) / (1 + NULL_DRAWS).

    The null is sensor noise: independent from frame to frame and colour to colour, through the same method over the
    same number of frames. It knows nothing of motion or of changing light, which have their own peaks: a small value
    says that a rhythm is present, not that it is a heart's.

    Args:
      value: dB, of `snr`. method: pos | chrom. length: of the trace, frames.

    Returns:
      In (0, 1]; NaN for a NaN.
    """
    if not np.isfinite(value):
        return float("nan")
    null = _null_ratios(method, length, fps)
    return float((1 + np.count_nonzero(null >= value)) / (1 + len(null)))


@functools.cache
def _null_ratios(method: str, length: int, fps: float) -> np.ndarray:
    """(NULL_DRAWS,) dB. A second of one core for 128 frames, once a process."""
    noise = np.random.default_rng(0).standard_normal((NULL_DRAWS, length, 3))
    parts = np.array_split(np.array([180.0, 130.0, 105.0]) * (1 + 0.003 * noise), 10)  # all at once take a gigabyte
    return np.concatenate([_snr(METHODS[method](part, fps), fps) for part in parts])


METHODS = {"pos": pos, "chrom": chrom}
