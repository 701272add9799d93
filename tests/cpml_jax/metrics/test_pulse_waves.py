import numpy as np
import pytest

from cpml_jax.metrics import pulse_waves

T = np.arange(256) / 30.0


def tone(bpm, phase=0.0):
    return np.sin(2 * np.pi * bpm / 60 * T + phase)


def line(label, method, video, compression, **figures):
    return {
        "label": label,
        "dataset": "a",
        "method": method,
        "video": video,
        "window": 0,
        "compression": compression,
    } | figures


def test_snr_is_high_at_the_pulses_rate_low_elsewhere_and_falls_with_noise():
    noise = np.random.default_rng(0).normal(size=len(T))
    clean, noisy, noisier = (pulse_waves.snr_db(tone(72) + s * noise, 72.0) for s in (0.01, 1.0, 4.0))
    assert clean > 8 > noisy > noisier and pulse_waves.snr_db(tone(72), 110.0) < -10
    # The second harmonic is signal, the third is not.
    assert pulse_waves.snr_db(tone(60) + tone(120), 60.0) > 8 > pulse_waves.snr_db(tone(60) + tone(180), 60.0)
    assert pulse_waves.snr_db(5 * tone(72) + 3, 72.0) == pytest.approx(pulse_waves.snr_db(tone(72), 72.0))


@pytest.mark.parametrize("wave", [np.zeros(64), np.full(64, 3.0), np.full(64, np.nan)])
def test_no_wave_has_no_snr(wave):
    assert pulse_waves.snr_db(wave, 72.0) is None


def test_rate_errors_count_only_what_is_known_on_both_sides():
    figures = pulse_waves.rate_errors([70.0, 80.0, None, 100.0, 60.0], [72.0, 76.0, 70.0, None, float("nan")])
    assert figures == {"mae_bpm": 3.0, "rmse_bpm": pytest.approx(np.sqrt(10)), "pearson": None, "n": 2}
    assert pulse_waves.rate_errors([None], [70.0]) == {"mae_bpm": None, "rmse_bpm": None, "pearson": None, "n": 0}
    rng = np.random.default_rng(0)
    a, b = rng.normal(70, 9, 30), rng.normal(70, 9, 30)
    assert pulse_waves.rate_errors(a, b)["pearson"] == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert pulse_waves.rate_errors(a, np.full(30, 70.0))["pearson"] is None


def test_a_summary_keeps_the_classes_apart_and_invents_nothing():
    lines = [
        line(
            0,
            "real",
            "1",
            "raw",
            pulse_correlation_pos=0.9,
            pulse_snr_db=3.0,
            heart_rate_bpm=70.0,
            heart_rate_truth_bpm=72.0,
        ),
        line(1, "Deepfakes", "1_2", "raw", pulse_correlation_pos=0.1, pulse_snr_db=None, heart_rate_bpm=99.0),
    ]
    figures = pulse_waves.summary(lines)
    assert figures["real"] == 0.9 and figures["fake"] == 0.1 and figures["real_truth"] is None
    assert figures["heart_rate_truth"]["mae_bpm"] == 2.0 and figures["heart_rate_pos"]["n"] == 0
    assert figures["snr_db_real"] == 3.0 and figures["snr_db_fake"] is None


def test_similarity_pairs_the_compressions_of_a_clip_and_of_no_other():
    names = [(0, "real", "1"), (0, "real", "2"), (1, "Deepfakes", "1_2"), (1, "FaceSwap", "1_2")]
    lines = [line(*name, c) for name in names for c in ("c40", "raw", "c23")]
    waves = np.stack([tone(60 + 7 * i, p) for i in range(4) for p in (np.pi / 2, 0.0, 0.0)])
    figures = {tuple(f["compressions"]): f for f in pulse_waves.similarity_across(lines, waves)}
    assert list(figures) == [("raw", "c23"), ("raw", "c40"), ("c23", "c40")]
    same, shifted = figures["raw", "c23"], figures["raw", "c40"]
    assert same["real"] == {"mean": pytest.approx(1.0), "std": pytest.approx(0.0, abs=1e-6), "n": 2}
    assert same["fake"]["n"] == 2 and abs(shifted["real"]["mean"]) < 0.1
    alone = pulse_waves.similarity_across([lines[0]], waves[:1])
    assert alone == []
    flat = pulse_waves.similarity_across(lines[:2], np.zeros((2, 64)))
    assert flat == []  # a constant wave is like nothing
