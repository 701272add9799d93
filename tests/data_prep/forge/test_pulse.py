import numpy as np
import pytest
from forge_clips import person, still

from cpml_jax.schema import FRAME_RATE
from data_prep.face import rppg
from data_prep.forge import pulse
from data_prep.forge.clip import Forged
from data_prep.forge.draws import Draws

TIME = np.arange(150) / FRAME_RATE
BEAT = 0.008 * np.sin(2 * np.pi * 1.2 * TIME)  # 72 beats/min, amplitude 0.8 % of the green channel
OTHER = 0.008 * np.sin(2 * np.pi * 1.7 * TIME + 1)


class Fixed(Draws):
    """Chooses what the test asks for."""

    def __init__(self, choice):
        super().__init__(np.random.default_rng(3))
        self.choice = choice

    def choose(self, name, shares):
        assert shares[self.choice] > 0
        self.parameters[name] = self.choice
        return self.choice


def changed(clip, choice, source=None, mask=None):
    if mask is None:
        mask = np.full(clip.frames.shape[:3], 255, np.uint8)
    draw = Fixed(choice)
    frames = pulse.change(draw, Forged(clip.frames, mask, {}), clip.landmarks, source or still(wave=OTHER), other=True)
    return frames, draw.parameters


def skin(frames):
    """(T, 3) mean colour of the face's middle."""
    return frames[:, 44:68, 38:60].reshape(len(frames), -1, 3).mean(axis=1)


def band_power(trace):
    frequency = np.fft.rfftfreq(len(trace), 1 / FRAME_RATE)
    power = np.abs(np.fft.rfft((trace - trace.mean()) * np.hanning(len(trace)))) ** 2
    return power[(frequency > 0.8) & (frequency < 3.5)].sum()


def correlation(a, b, skip=10):
    return np.corrcoef(a[skip:-skip], b[skip:-skip])[0, 1]


def test_a_whole_pulse_is_not_touched():
    clip = still(wave=BEAT)
    frames, parameters = changed(clip, "whole")
    assert frames is clip.frames and parameters == {"choice": "whole"}


def test_a_removed_pulse_is_gone():
    clip = still(wave=BEAT)
    frames, _ = changed(clip, "removed")
    before, after = (
        rppg.band_pass(np.moveaxis(skin(f), 0, -1), FRAME_RATE, scaled=False) for f in (clip.frames, frames)
    )
    for channel in range(3):
        assert band_power(after[channel]) < 0.1 * band_power(before[channel])
    assert correlation(rppg.pos(skin(clip.frames), FRAME_RATE), BEAT) > 0.95
    assert abs(correlation(rppg.pos(skin(frames), FRAME_RATE), BEAT)) < 0.5


def test_changes_of_brightness_stay():
    clip = still()
    flicker = 1 + 0.02 * np.sin(2 * np.pi * 1.2 * TIME)
    frames = np.clip(np.rint(clip.frames * flicker[:, None, None, None]), 0, 255).astype(np.uint8)
    made = pulse.change(
        Fixed("removed"), Forged(frames, np.full(frames.shape[:3], 255, np.uint8), {}), clip.landmarks, clip, other=True
    )
    before, after = (skin(f).mean(axis=1) for f in (frames, made))
    assert band_power(after) > 0.8 * band_power(before)


def test_another_persons_pulse_takes_its_place():
    source = still(wave=OTHER)
    frames, parameters = changed(still(wave=BEAT), "transplanted", source)
    put = np.roll(OTHER, 0)[pulse.bounce(parameters["begin"] + np.arange(150), 150)]
    trace = rppg.pos(skin(frames), FRAME_RATE)
    assert correlation(trace, put) > 0.85
    assert abs(correlation(trace, BEAT)) < 0.4
    green = skin(frames)[:, 1]
    amplitude = np.sqrt(2) * rppg.band_pass(green / green.mean(), FRAME_RATE, scaled=False)[10:-10].std()
    assert amplitude == pytest.approx(parameters["green"], rel=0.35)
    assert pulse.GREEN[0] <= parameters["green"] <= pulse.GREEN[1]


def test_a_delayed_pulse_comes_late_in_each_region():
    clip = still(wave=BEAT)
    frames, parameters = changed(clip, "delayed")
    delays = [value for name, value in parameters.items() if name.startswith("delay_")]
    assert len(delays) == 5 and all(pulse.DELAY[0] <= delay <= pulse.DELAY[1] for delay in delays)
    small, inside = pulse.coarse(frames, np.full(frames.shape[:3], 255, np.uint8))
    weights = pulse.regions(clip.landmarks, inside * pulse.face(clip.landmarks, inside.shape[1:]))
    # At a region's own middle it has most of the say.
    phases = []
    for course in pulse.pulses(small, weights).T:
        lags = [correlation(course, np.roll(BEAT, lag), 30) for lag in range(0, 25)]
        phases.append(int(np.argmax(lags)))
    assert max(phases) - min(phases) >= 2
    assert pulse.DELAY[0] - 1 <= np.mean(phases) <= pulse.DELAY[1] + 1


@pytest.mark.parametrize("choice", ["removed", "transplanted", "delayed"])
def test_outside_the_mask_nothing_changes_and_inside_little(choice):
    clip = person(0)
    mask = np.zeros(clip.frames.shape[:3], np.uint8)
    mask[:, 40:110, 40:100] = 255
    frames, _ = changed(clip, choice, person(1), mask)
    np.testing.assert_array_equal(frames[mask == 0], clip.frames[mask == 0])
    change = np.abs(frames.astype(int) - clip.frames)
    assert 0 < change.max() <= 16 and change[mask > 0].mean() < 3


@pytest.mark.parametrize("choice", ["removed", "transplanted", "delayed"])
def test_hair_and_background_inside_the_mask_have_no_pulse(choice):
    clip = still(wave=BEAT)
    frames, _ = changed(clip, choice)
    np.testing.assert_array_equal(frames[:, :6], clip.frames[:, :6])
    np.testing.assert_array_equal(frames[:, :, :6], clip.frames[:, :, :6])


def test_an_empty_mask_and_a_single_frame_are_left_alone():
    clip = person(0)
    frames, _ = changed(clip, "removed", mask=np.zeros(clip.frames.shape[:3], np.uint8))
    np.testing.assert_array_equal(frames, clip.frames)
    one = person(0, 1)
    frames, _ = changed(one, "delayed")
    np.testing.assert_array_equal(frames, one.frames)


def test_the_source_of_a_wave_may_be_flat():
    flat = still()
    flat = type(flat)("flat", "p1", np.full_like(flat.frames, 100), flat.landmarks, flat.valid)
    with np.errstate(divide="raise", invalid="raise"):
        assert not pulse.wave(flat).any()
        changed(still(wave=BEAT), "transplanted", flat)
