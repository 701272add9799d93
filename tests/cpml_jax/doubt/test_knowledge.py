"""What a run knows: who is counted, what lies far, in which words, and the file."""

import dataclasses

import doubt_clips
import numpy as np
import pytest
from scipy.stats import binom

from cpml_jax.doubt import knowledge
from cpml_jax.doubt.calibration import calibrate
from cpml_jax.doubt.distance import Measured, Reference
from cpml_jax.doubt.properties import NAMES

LEVEL = 0.05
FLAT = "more of the picture is wiped flat (by compression or smoothing)"


def known_of(rng, training, validation, **changes):
    rows, clips = doubt_clips.people(rng, training, "train", **changes)
    held, more = doubt_clips.people(rng, validation, "val", first=training, **changes)
    return calibrate(rows, held, clips | more, "a" * 64, LEVEL)


@pytest.mark.parametrize(
    ("training", "validation", "pairs", "over", "sources", "count"),
    [
        (8, 40, True, knowledge.GROUPS, knowledge.VALIDATION, 20),
        (30, 10, True, knowledge.GROUPS, knowledge.BOTH, 20),
        (14, 8, True, knowledge.PEOPLE, knowledge.BOTH, 22),  # 11 pairs are too few
        (2, 8, False, knowledge.VIDEOS, knowledge.VALIDATION, 24),
        (4, 4, True, knowledge.VIDEOS, knowledge.VALIDATION, 12),
    ],
)
def test_who_is_counted_depends_on_how_many_there_are(training, validation, pairs, over, sources, count):
    known = known_of(np.random.default_rng(0), training, validation, pairs=pairs)
    assert (known.over, known.sources, known.count) == (over, sources, count)
    assert known.describe()["p_over"] == over and known.smallest_p == pytest.approx(1 / (count + 1))
    if over == knowledge.GROUPS and sources == knowledge.VALIDATION:
        assert known.note is None
    if count < 19:
        assert "nothing can be undetermined at level 0.05: that takes 19 videos, and there are 12" in known.note
        assert not known.judge([doubt_clips.measured(np.random.default_rng(1), shift=1e6)]).undetermined


@pytest.mark.parametrize(("training", "validation"), [(10, 42), (32, 12)])
def test_new_people_are_undetermined_as_seldom_as_the_level_says(training, validation):
    """Many draws of training, validation and one new video: whole, and with training people left out in turn."""
    rng, trials = np.random.default_rng(3), 80
    false = 0
    for _ in range(trials):
        known = known_of(rng, training, validation)
        person = rng.normal(size=doubt_clips.WIDTH + len(NAMES))
        false += known.judge([doubt_clips.measured(rng, person)]).undetermined
    assert false <= binom.ppf(0.999, trials, LEVEL)


@pytest.fixture(scope="module")
def known():
    return known_of(np.random.default_rng(0), 30, 12)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (dict(face_size=3.0), "the face is smaller than in any training clip"),
        (dict(sharpness=9.0), "the picture is sharper than in any training clip"),
        (dict(flat_area=2.5), f"{FLAT} than in any training clip"),
        (dict(landmark_motion=5.0), "the landmarks move more than in any training clip"),
        (dict(shift=400.0), knowledge.UNLIKE),
    ],
)  # fmt: skip
def test_what_lies_far_is_undetermined_for_its_reason(known, changes, reason):
    clip = doubt_clips.measured(np.random.default_rng(7), **changes)
    judged = known.judge([clip])
    assert judged.undetermined and judged.reasons[0] == reason and judged.p == pytest.approx(known.smallest_p)
    usual = known.judge([doubt_clips.measured(np.random.default_rng(7))])
    assert not usual.undetermined and usual.reasons == () and usual.score < judged.score


def test_a_combination_is_named_where_no_property_is_far_by_itself():
    rng = np.random.default_rng(0)
    rows, clips = doubt_clips.people(rng, 60, "train", pairs=False)
    # Two properties that always agree.
    tied = {name: _tied(clip, 1.0) for name, clip in clips.items()}
    known = calibrate(rows[:120], rows[120:], tied, "a", LEVEL)
    judged = known.judge([_tied(doubt_clips.measured(rng), -1.0, 2.4)])
    assert judged.undetermined and knowledge.TOGETHER in judged.reasons


def _tied(clip, sign, value=None):
    values = clip.properties.copy()
    z = (values[0] - 7.0) if value is None else value * 0.28
    values[0], values[1], values[2] = 7.0 + z, 5.0 + sign * z, -5.0 - sign * z
    return Measured(clip.unified, values)


def test_a_video_is_the_mean_of_its_windows(known):
    rng = np.random.default_rng(2)
    far, near = doubt_clips.measured(rng, face_size=9.0), [doubt_clips.measured(rng) for _ in range(200)]
    assert known.judge([far]).undetermined and not known.judge([far, *near]).undetermined


def test_an_unknown_property_is_no_reason_and_one_that_never_was_is_no_distance(known):
    rng = np.random.default_rng(4)
    assert not known.judge([doubt_clips.measured(rng, pulse_snr=np.nan, face_size=np.nan)]).undetermined
    clips = [doubt_clips.measured(rng, face_size=np.nan) for _ in range(50)]
    reference = Reference.of(clips)
    there, absent = (doubt_clips.measured(np.random.default_rng(1), face_size=size) for size in (900.0, np.nan))
    np.testing.assert_array_equal(reference.distances([there]), reference.distances([absent]))
    assert np.isfinite(Reference.of(clips[:1]).distances(clips)).all()  # one clip has no spread


def test_training_people_count_as_far_as_validation_at_least():
    """A model fitted to its training people draws their features together."""
    rng = np.random.default_rng(0)
    rows, clips = doubt_clips.people(rng, 30, "train")
    held, more = doubt_clips.people(rng, 12, "val", first=30)
    drawn_in = {name: Measured(clip.unified / 3, clip.properties) for name, clip in clips.items()}
    close = calibrate(rows, held, drawn_in | more, "a", LEVEL)
    new = [[doubt_clips.measured(rng, rng.normal(size=doubt_clips.WIDTH + len(NAMES)))] for _ in range(200)]
    assert np.mean([close.judge(windows).undetermined for windows in new]) < 0.1


def test_what_is_written_is_read_and_belongs_to_its_parameters(known, tmp_path):
    path = tmp_path / knowledge.FILE
    assert "has no doubt.npz" in knowledge.read(path, "a" * 64, LEVEL)
    known.write(path)
    again = knowledge.read(path, "a" * 64, LEVEL)
    clip = [doubt_clips.measured(np.random.default_rng(1), face_size=3.0)]
    assert again.judge(clip) == known.judge(clip) and again.describe() == known.describe()
    assert knowledge.read(path, "a" * 64, 0.0) == "eval.doubt_level is 0"
    assert "another checkpoint" in knowledge.read(path, "b" * 64, LEVEL)
    strict = knowledge.read(path, "a" * 64, 0.001)
    assert "nothing can be undetermined" in strict.note and not strict.judge(clip).undetermined
    path.write_bytes(path.read_bytes()[:200])
    assert "cannot be read" in knowledge.read(path, "a" * 64, LEVEL)


def test_a_file_of_other_properties_is_not_used(known, tmp_path, monkeypatch):
    path = tmp_path / knowledge.FILE
    known.write(path)
    monkeypatch.setattr(knowledge, "NAMES", (*NAMES, "another"))
    assert "another version" in knowledge.read(path, "a" * 64, LEVEL)


def test_without_training_or_validation_nothing_is_known():
    rows, clips = doubt_clips.people(np.random.default_rng(0), 4, "train")
    assert calibrate(rows, [], clips, "a", LEVEL) is None and calibrate([], rows, clips, "a", LEVEL) is None
    assert calibrate(rows, rows[:1], {}, "a", LEVEL) is None
    assert dataclasses.is_dataclass(calibrate(rows[:1], rows[1:], clips, "a", LEVEL))
