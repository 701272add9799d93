"""DeepFakeDetection in miniature."""

import pytest

from cpml_jax.errors import UserError
from data_prep.sources import list_videos
from tests.data_prep import miniatures as mini
from tests.data_prep.sources.listing import by_path, facts


def test_dfd_is_a_test_set_without_split_files(tmp_path):
    videos = by_path("dfd", mini.dfd(tmp_path), splits=("test",))
    assert {v.compression for v in videos.values()} == {"raw", "c23"} and len(videos) == 8
    real = videos["original_sequences/actors/c23/videos/01__exit_phone_room.mp4"]
    fake = videos["manipulated_sequences/DeepFakeDetection/raw/videos/01_02__exit_phone_room__YVGY8LOK.mp4"]
    assert facts(real) == (0, "real", "test", "01", "", "")
    assert facts(fake) == (1, "DeepFakeDetection", "test", "01", "02", "01__exit_phone_room")
    assert fake.target_video == real.video
    keys = {v.track_key for v in videos.values()}
    assert len(keys) == 4, "compressions of a video share a track"
    assert len(by_path("dfd", tmp_path, splits=("test",), compressions=("raw",))) == 4


def test_dfd_names_no_masks_since_only_fakes_have_one(tmp_path):
    root = mini.dfd(tmp_path)
    mini.touch(root / "manipulated_sequences/DeepFakeDetection/masks/videos/01_02__exit_phone_room__YVGY8LOK.mp4")
    assert {v.mask for v in list_videos("dfd", root, splits=("test",))} == {""}


@pytest.mark.parametrize("splits", [("train",), ("val", "test"), ("train", "val", "test")])
def test_dfd_has_nothing_to_train_on(tmp_path, splits):
    with pytest.raises(UserError, match="DFD is a test set"):
        list_videos("dfd", mini.dfd(tmp_path), splits=splits)


def test_dfd_and_ffpp_share_a_root(tmp_path):
    root = mini.dfd(mini.ffpp(tmp_path))
    assert {v.method for v in list_videos("ffpp", root)} == {"real", *mini.METHODS}
    assert {v.method for v in list_videos("dfd", root, splits=())} == {"real", "DeepFakeDetection"}
    with pytest.raises(UserError, match="actors is missing"):
        list_videos("dfd", mini.ffpp(tmp_path / "alone"), splits=("test",))
