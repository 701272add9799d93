"""Celeb-DF in miniature, by both splits."""

import pytest

from cpml_jax.errors import UserError
from cpml_jax.schema import SPLITS
from data_prep.sources import list_videos
from tests.data_prep import miniatures as mini
from tests.data_prep.sources.listing import by_path, facts


def test_celebdf_one_by_one(tmp_path):
    videos = by_path("celebdf", mini.celebdf(tmp_path))
    method = "Celeb-synthesis"
    assert {name: facts(v) for name, v in videos.items()} == {
        "YouTube-real/00170.mp4": (0, "real", "test", "youtube-00170", "", ""),  # the list's first line
        "Celeb-real/id0_0001.mp4": (0, "real", "test", "id0", "", ""),
        "Celeb-synthesis/id0_id1_0001.mp4": (1, method, "test", "id0", "id1", "id0_0001"),
        "Celeb-real/id2_0000.mp4": (0, "real", "train", "id2", "", ""),
        "Celeb-real/id4_0000.mp4": (0, "real", "train", "id4", "", ""),
        "YouTube-real/00001.mp4": (0, "real", "train", "youtube-00001", "", ""),
        "Celeb-synthesis/id2_id4_0000.mp4": (1, method, "train", "id2", "id4", "id2_0000"),
        "Celeb-real/id3_0000.mp4": (0, "real", "val", "id3", "", ""),
        "Celeb-real/id24_0000.mp4": (0, "real", "val", "id24", "", ""),
        "YouTube-real/00004.mp4": (0, "real", "val", "youtube-00004", "", ""),
        "Celeb-synthesis/id3_id24_0000.mp4": (1, method, "val", "id3", "id24", "id3_0000"),
    }
    assert {v.compression for v in videos.values()} == {"unknown"}


def test_celebdf_official_trains_on_all_that_is_not_listed(tmp_path):
    videos = by_path("celebdf_official", mini.celebdf(tmp_path))
    listed = {line.partition(" ")[2] for line in mini.CELEBDF_TEST}
    assert videos.keys() == listed | set(mini.CELEBDF_REST)
    assert {name for name, v in videos.items() if v.split == "test"} == listed
    assert videos["Celeb-real/id0_0002.mp4"].split == "train", "an identity of the test, as the field has it"
    assert {v.split for v in videos.values() if v.identity == "id3"} == {"val"}


def test_celebdf_without_anyone_left_to_train_on(tmp_path):
    root = mini.celebdf(tmp_path, rest=("Celeb-real/id0_0002.mp4", "Celeb-synthesis/id0_id1_0002.mp4"))
    with pytest.raises(UserError, match="no fake is left to train on.*celebdf_official"):
        list_videos("celebdf", root, splits=SPLITS)
    assert len(list_videos("celebdf", root, splits=("test",))) == 3


@pytest.mark.parametrize("line, said", [("0 YouTube-real/00170.mp4", "line 1: 0 means fake"),
                                        ("1 Celeb-synthesis/id0_id1_0001.mp4", "line 1: 1 means real"),
                                        ("label video", "line 1: 'label video' is not as"),
                                        ("1 Celeb-real/00170.mp4", "is not as")])  # fmt: skip
def test_a_list_that_contradicts_the_folders_is_refused(tmp_path, line, said):
    root = mini.celebdf(tmp_path)
    (root / "List_of_testing_videos.txt").write_text(line + "\n")
    with pytest.raises(UserError, match=said):
        list_videos("celebdf", root)


@pytest.mark.parametrize("missing", ["Celeb-real", "YouTube-real", "Celeb-synthesis", "List_of_testing_videos.txt"])
@pytest.mark.parametrize("kind", ["celebdf", "celebdf_official"])
def test_a_part_of_celebdf_that_is_missing_is_named(tmp_path, kind, missing):
    root = mini.celebdf(tmp_path)
    (root / missing).rename(tmp_path / "away")
    with pytest.raises(UserError, match=missing):
        list_videos(kind, root)
