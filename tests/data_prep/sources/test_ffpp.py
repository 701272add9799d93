"""FaceForensics++ in miniature."""

import pytest

from cpml_jax.errors import UserError
from data_prep.sources import list_videos
from tests.data_prep.miniatures import METHODS, SPLITS, ffpp, ffpp_masks


def listed(root, **changes):
    arguments = dict(compressions=("c23", "c40"), methods=METHODS, splits=("train", "val", "test"))
    return list_videos("ffpp", str(root), **(arguments | changes))


@pytest.mark.parametrize("splits_in", [".", "dataset/splits", "splits"])
def test_ffpp_one_by_one(tmp_path, splits_in):
    actual = {(v.method, v.compression, v.video): v for v in listed(ffpp(tmp_path, splits_in=splits_in))}
    assert len(actual) == 3 * 2 * (2 + 2 * 2)
    real, fake = actual["real", "c23", "004"], actual["FaceSwap", "c40", "005_004"]
    assert (real.label, real.identity, real.target_video, real.source_identity, real.split) == (
        0,
        "004",
        "",
        "",
        "test",
    )
    assert (fake.label, fake.identity, fake.target_video, fake.source_identity, fake.split) == (
        1,
        "005",
        "005",
        "004",
        "test",
    )
    # One face in one place: the real target, all fakes of it, all compressions.
    assert {v.track_key for v in actual.values() if v.identity == "005"} == {"youtube/005"}
    assert len({v.track_key for v in actual.values()}) == 6
    assert {v.split for v in actual.values() if v.identity == "000"} == {"train"}


def test_only_what_is_asked_for(tmp_path):
    root = ffpp(tmp_path)
    assert {v.compression for v in listed(root, compressions=("c23",))} == {"c23"}
    assert {v.split for v in listed(root, splits=("val",))} == {"val"}


def test_nothing_asked_for_is_everything(tmp_path):
    root = ffpp(tmp_path, methods=(*METHODS, "FaceShifter"))
    (root / "manipulated_sequences/DeepFakeDetection/c23/videos").mkdir(parents=True)  # a data set of its own
    assert listed(root, compressions=(), methods=(), splits=()) == listed(root, methods=(*METHODS, "FaceShifter"))
    assert {v.method for v in list_videos("ffpp", root)} == {"real", *METHODS, "FaceShifter"}


def test_masks_are_found_where_they_lie(tmp_path):
    root = ffpp_masks(ffpp(tmp_path))
    actual = {(v.method, v.compression, v.video): v.mask for v in listed(root)}
    mask = str(root / "manipulated_sequences/Deepfakes/masks/videos/000_001.mp4")
    assert actual["Deepfakes", "c23", "000_001"] == actual["Deepfakes", "c40", "000_001"] == mask
    assert not actual["FaceSwap", "c23", "000_001"] and not actual["real", "c23", "000"]
    assert {v.compression for v in listed(root, compressions=())} == {"c23", "c40"}, "masks are no compression"


def test_what_is_not_ffpp_is_refused(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        listed(tmp_path / "nothing")
    with pytest.raises(UserError, match="not a FaceForensics"):
        listed(tmp_path)
    root = ffpp(tmp_path)
    with pytest.raises(UserError, match="Face2Face"):
        listed(root, methods=("Face2Face",))
    (root / "val.json").write_text("{]")
    with pytest.raises(UserError, match="val.json: not a split file"):
        listed(root)
    (root / "val.json").unlink()
    with pytest.raises(UserError, match="val.json is missing"):
        listed(root)


def test_an_identity_in_two_splits_is_refused(tmp_path):
    with pytest.raises(UserError, match="identity 001 is in the splits train and test"):
        listed(ffpp(tmp_path, {**SPLITS, "test": [["001", "006"]]}))


def test_a_pair_written_both_ways_round_is_one(tmp_path):
    once = listed(ffpp(tmp_path))
    assert listed(ffpp(tmp_path, SPLITS | {"test": [["004", "005"], ["005", "004"]]})) == once
