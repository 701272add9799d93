import pytest

from cpml_jax.evaluation import coverage
from cpml_jax.evaluation.protocols import Test, Training
from data_prep.sources import official_test

TEST = Test("in_dataset", Training("a", ("c23",), ("m", "n")), "a", "c23", ("m", "n"))


def clip(video, **more):
    return {"video_key": f"a/m/c23/{video}", "label": 1} | more


def test_frames_and_windows_are_counted_a_video():
    rows = [clip("1", face_choice="mask"), clip("1", face_choice="mask"), clip("2", face_choice="largest"), clip("3")]
    assert coverage.seen(rows[:3], rows, 128) == {
        "windows_per_video": {"mean": 1.5, "min": 1, "max": 2},
        "frames_per_video": {"mean": 192.0, "min": 128, "max": 256},
        "face_choice": {"largest": 1, "mask": 1},
    }
    assert coverage.seen([], rows, 128) == {"windows_per_video": None, "frames_per_video": None, "face_choice": {}}


def test_a_video_that_lost_several_clips_is_excluded_once_and_one_that_has_a_score_is_not():
    about = {"dataset": "a", "method": "m", "compression": "c23", "split": "test", "reason": "no face"}
    rows = [about | {"video": "1", "window": w} for w in (0, 1)] + [about | {"video": "2", "window": 1}]
    rows += [about | {"video": "3", "method": "real"}, about | {"video": "4", "dataset": "b"}, {"reason": "no video"}]
    assert coverage.excluded_videos(TEST, rows, [clip("2")]) == (1, 1)


@pytest.mark.parametrize(
    ("official", "expected"),
    [({}, None), (None, None), ({"all": 518}, 518), ({"real": 140, "m": 140}, None),
     ({"real": 140, "m": 140, "n": 140, "o": 140}, 420)],
)  # fmt: skip
def test_the_published_size_is_that_of_the_tested_methods(official, expected):
    listed = coverage.listed(TEST, [clip("1"), clip("2")], (3, 4), official)
    assert listed["official"] == expected and listed["listed"] == 9
    assert listed["tested"] == {"real": 0, "fake": 2} and listed["excluded"] == {"real": 3, "fake": 4}


def test_sources_know_their_published_test_lists():
    assert official_test("ffpp")["real"] == official_test("ffpp")["FaceShifter"] == 140
    assert official_test("celebdf") == official_test("celebdf_official") == {"all": 518}
    assert official_test("dfd") == {"real": 363, "DeepFakeDetection": 3068} and official_test("folder") == {}
