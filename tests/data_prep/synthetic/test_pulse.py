import numpy as np

from data_prep.synthetic.pulse import heart_rates, wave


def test_heart_rate_stays_physiological_and_the_wave_follows_it():
    times = np.arange(1800) / 30
    for seed, mean in ((0, 58), (1, 80), (2, 106)):
        rng = np.random.default_rng(seed)
        rates = heart_rates(rng, mean, times)
        assert rates.min() >= 55 and rates.max() <= 110 and rates.std() > 0.5
        spectrum = np.abs(np.fft.rfft(wave(rng, rates, times) * np.hanning(1800)))
        assert abs(np.fft.rfftfreq(1800, 1 / 30)[spectrum.argmax()] * 60 - rates.mean()) < 4
