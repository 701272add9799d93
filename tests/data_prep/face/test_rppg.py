import numpy as np
import pytest

from data_prep.face import landmarks, rppg
from data_prep.video import jpeg

FPS = 30.0


def skin(rate, length=160, amplitude=0.01, noise=0.0005, seed=0):
    """Mean skin colours with a pulse (weights 0.45, 1, 0.6), a slow change of light, and noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(length) / FPS
    wave = np.sin(2 * np.pi * rate / 60 * t) + 0.35 * np.sin(4 * np.pi * rate / 60 * t + 0.6)
    light = 1 + 0.05 * np.sin(2 * np.pi * 0.15 * t)
    rgb = np.array([180.0, 130.0, 105.0]) * light[:, None] * (1 + amplitude * wave[:, None] * [0.45, 1.0, 0.6])
    return rgb * (1 + noise * rng.normal(size=(length, 3))), wave


@pytest.mark.parametrize("method", [rppg.pos, rppg.chrom])
@pytest.mark.parametrize("rate", [58.0, 75.0, 96.0, 108.0])
def test_a_planted_pulse_is_found(method, rate):
    rgb, wave = skin(rate)
    trace = method(rgb, FPS)
    assert abs(rppg.heart_rate(trace, FPS) - rate) < 2.5
    assert abs(np.corrcoef(trace, wave)[0, 1]) > 0.8
    assert abs(trace.mean()) < 1e-6 and abs(trace.std() - 1) < 1e-6


def test_both_methods_have_one_sign():
    rgb, _ = skin(72.0)
    assert np.corrcoef(rppg.pos(rgb, FPS), rppg.chrom(rgb, FPS))[0, 1] > 0.7


def test_light_that_changes_all_colours_alike_is_no_pulse():
    t = np.arange(160) / FPS
    rgb = np.array([180.0, 130.0, 105.0]) * (1 + 0.02 * np.sin(2 * np.pi * 1.2 * t))[:, None]
    assert np.abs(rppg.pos(skin(72.0)[0], FPS)).max() > 1
    assert rppg.snr(rppg.pos(skin(72.0)[0], FPS), FPS) > rppg.snr(rppg.pos(rgb * skin(72.0, amplitude=0)[0], FPS), FPS)


def test_snr_falls_with_noise_and_flat_traces_have_none():
    clean, noisy = (rppg.snr(rppg.pos(skin(80.0, noise=n)[0], FPS), FPS) for n in (0.0005, 0.02))
    assert clean > noisy + 3
    flat = rppg.pos(np.full((160, 3), 100.0), FPS)
    assert not flat.any() and np.isnan(rppg.snr(flat, FPS)) and np.isnan(rppg.heart_rate(flat, FPS))


def test_the_sign_of_chrom_is_that_of_theory_and_asks_no_other_trace(monkeypatch):
    monkeypatch.setattr(rppg, "pos", None)
    for sign in (1, -1):
        rgb, wave = skin(72.0, amplitude=0.01 * sign)
        assert sign * np.corrcoef(rppg.chrom(rgb, FPS), wave)[0, 1] > 0.8


@pytest.mark.parametrize("method", ["pos", "chrom"])
def test_the_snr_of_noise_has_uniform_p_values_and_a_pulse_a_small_one(method):
    rng = np.random.default_rng(7)
    noise = np.array([90.0, 70.0, 60.0]) * (1 + 0.01 * rng.standard_normal((400, 128, 3)))
    ratios = [rppg.snr(trace, FPS) for trace in rppg.METHODS[method](noise, FPS)]
    values = np.array([rppg.snr_p_value(ratio, method, 128, FPS) for ratio in ratios])
    for level in (0.05, 0.25, 0.5, 0.9):  # 4 deviations of a binomial of 400
        assert abs((values <= level).mean() - level) < 4 * np.sqrt(level * (1 - level) / 400) + 0.02
    weak, _ = skin(75.0, length=128, amplitude=0.003, noise=0.001)
    ratio = rppg.snr(rppg.METHODS[method](weak, FPS), FPS)
    assert rppg.snr_p_value(ratio, method, 128, FPS) <= 0.005 and ratio < 3
    assert np.isnan(rppg.snr_p_value(float("nan"), method, 128, FPS))


def test_a_batch_of_traces_is_its_traces():
    batch = np.stack([skin(rate, seed=seed)[0] for seed, rate in enumerate((60.0, 90.0))])
    for method in rppg.METHODS.values():
        np.testing.assert_allclose(method(batch, FPS), [method(one, FPS) for one in batch], atol=1e-9)


def test_skin_leaves_out_eyes_mouth_and_what_lies_outside():
    points = np.zeros((68, 2), np.float32)
    angle = np.linspace(np.pi, 0, 17)
    points[:17] = np.column_stack([0.7 * np.cos(angle), 0.1 + 0.7 * np.sin(angle)])
    points[17:27] = np.column_stack([np.linspace(-0.6, 0.6, 10), np.full(10, -0.4)])
    turn = np.linspace(0, 2 * np.pi, 7)[:-1]
    for first, x in ((36, -0.3), (42, 0.3)):
        points[first : first + 6] = np.column_stack([x + 0.1 * np.cos(turn), -0.2 + 0.06 * np.sin(turn)])
    turn = np.linspace(0, 2 * np.pi, 13)[:-1]
    points[48:60] = np.column_stack([0.25 * np.cos(turn), 0.45 + 0.12 * np.sin(turn)])
    mask = rppg.skin_mask(points, 128)
    at = lambda x, y: mask[int((y + 1) * 64), int((x + 1) * 64)]  # noqa: E731
    assert at(0, 0.1) and at(-0.45, 0.1)
    assert not at(-0.3, -0.2) and not at(0, 0.45) and not at(0.95, 0) and not at(0, -0.9)


def test_storage_costs_the_pulse_nothing_that_counts():
    """The figures beside jpeg.QUALITY, as a property: POS of coded and uncoded crops agree."""
    rng = np.random.default_rng(0)
    rgb, _ = skin(70.0, length=96)
    texture = rng.normal(0, 6, (128, 128, 1)) + rng.normal(0, 1.5, (96, 128, 128, 3))
    frames = np.clip(rgb[:, None, None] + texture, 0, 255).astype(np.uint8)
    coded = np.stack([jpeg.decode(data) for data in jpeg.encode(frames)])
    before, after = (rppg.pos(f.reshape(96, -1, 3).mean(axis=1), FPS) for f in (frames, coded))
    assert np.corrcoef(before, after)[0, 1] > 0.99


def test_landmarks_are_normalised_to_the_crop_and_smoothing_keeps_blinks():
    corner = landmarks.normalise(np.array([[[-0.5, -0.5], [63.5, 63.5], [127.5, 127.5]]]))
    np.testing.assert_allclose(corner[0], [[-1, -1], [0, 0], [1, 1]], atol=1e-6)
    rng = np.random.default_rng(0)
    still = np.full((60, 68, 2), 64.0) + rng.normal(0, 1, (60, 68, 2))
    assert landmarks.smooth(still)[5:-5].std() < 0.7 * still[5:-5].std()
    blink = np.zeros((60, 68, 2))
    blink[30:35] = 4.0
    assert landmarks.smooth(blink)[32].min() > 3.0
