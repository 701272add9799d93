"""The tree of ready-made crops in miniature."""

import json

import pytest

from cpml_jax.errors import UserError
from data_prep.sources import list_videos
from tests.data_prep import miniatures as mini
from tests.data_prep.sources.listing import by_path, facts


def test_crop_tree_by_list_files(tmp_path):
    root = mini.crop_lists(mini.crop_tree(tmp_path))
    videos = by_path("crop_tree", root, compressions=("raw",))
    fake = videos["manipulated_sequences/Deepfakes/raw/crop_MTCNN/005_004/face0"]
    assert facts(fake) == (1, "Deepfakes", "test", "005", "004", "005")
    assert fake.crop_landmarks == str(root / "manipulated_sequences/Deepfakes/raw/video_landmark_new/005_004.txt")
    real = videos["original_sequences/youtube/raw/crop_MTCNN/002/face0"]
    assert facts(real) == (0, "real", "val", "002", "", "")
    assert {(v.split, v.method, v.video) for v in videos.values()} == {
        ("train", "real", "000"), ("train", "real", "001"), ("train", "Deepfakes", "000_001"), ("val", "real", "002"),
        ("val", "FaceSwap", "002_003"), ("test", "real", "004"), ("test", "Deepfakes", "005_004"),
    }  # fmt: skip
    both = by_path("crop_tree", root, splits=("val",), methods=("FaceSwap",))
    assert {v.compression for v in both.values()} == {"raw", "c23"} and len({v.track_key for v in both.values()}) == 2


def test_crop_tree_by_official_splits_which_come_first(tmp_path):
    root = mini.crop_lists(mini.crop_tree(tmp_path))
    for split, pairs in mini.SPLITS.items():
        (root / f"{split}.json").write_text(json.dumps(pairs))
    videos = by_path("crop_tree", root, compressions=("c23",))
    assert len(videos) == 3 * (2 + 2 * len(mini.METHODS))
    fake = videos["manipulated_sequences/FaceSwap/c23/crop_MTCNN/001_000/face0"]
    assert facts(fake) == (1, "FaceSwap", "train", "001", "000", "001")
    (root / "val.json").unlink()
    with pytest.raises(UserError, match="val.json is missing"):
        list_videos("crop_tree", root)


def test_crop_tree_with_one_list_is_a_test_set(tmp_path):
    root = mini.crop_lists(mini.crop_tree(tmp_path), ".", {"FF++_list": "youtube,000,+1\nDeepfakes,001_000,-1\n"})
    assert {v.split for v in list_videos("crop_tree", root, splits=("test",))} == {"test"}
    with pytest.raises(UserError, match="no list for train"):
        list_videos("crop_tree", root, splits=("train",))


@pytest.mark.parametrize("line, said", [("youtube,000,-1", "+1 real, -1 fake"), ("Deepfakes,000_001,+1", "opposite"),
                                        ("youtube;000;+1", "is not as"), ("Deepfakes,../x,-1", "is not as"),
                                        ("youtube,004,+1", "identity 004 is in the splits")])  # fmt: skip
def test_a_list_that_makes_no_sense_is_refused(tmp_path, line, said):
    lists = mini.CROP_LISTS | {"FF++_train": line + "\n"}
    with pytest.raises(UserError, match=said.replace("+", r"\+")):
        list_videos("crop_tree", mini.crop_lists(mini.crop_tree(tmp_path), lists=lists))


def test_what_is_no_tree_of_crops_is_refused(tmp_path):
    with pytest.raises(UserError, match="crop_MTCNN"):
        list_videos("crop_tree", mini.ffpp(tmp_path / "videos"))
    root = mini.crop_tree(tmp_path)
    with pytest.raises(UserError, match="no splits"):
        list_videos("crop_tree", root)
    mini.crop_lists(root, lists=mini.CROP_LISTS | {"FF++_train2": "youtube,000,+1\n"})
    with pytest.raises(UserError, match="two lists for train"):
        list_videos("crop_tree", root)
