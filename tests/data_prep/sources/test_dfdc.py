"""DFDC in miniature."""

from pathlib import Path

import pytest

from cpml_jax.errors import UserError
from data_prep.sources import list_videos
from tests.data_prep import miniatures as mini
from tests.data_prep.sources.listing import by_path, facts


@pytest.mark.parametrize("test_folder", ["test", "test/videos"])
def test_dfdc_one_by_one(tmp_path, test_folder):
    videos = by_path("dfdc", mini.dfdc(tmp_path, test_folder=test_folder))
    assert {Path(name).name: facts(v) for name, v in videos.items()} == {
        "aaa.mp4": (0, "real", "train", "aaa", "", ""),
        "bbb.mp4": (1, "DFDC", "train", "aaa", "", "aaa"),
        "ccc.mp4": (1, "DFDC", "train", "aaa", "", "aaa"),
        "zzz.mp4": (0, "real", "val", "zzz", "", ""),
        "eee.mp4": (1, "DFDC", "val", "zzz", "", "zzz"),
        "fff.mp4": (1, "DFDC", "test", "fff", "", ""),
        "ggg.mp4": (0, "real", "test", "ggg", "", ""),
    }
    assert Path(videos[f"{test_folder}/fff.mp4"].path).is_file()


@pytest.mark.parametrize("entry, said", [({"label": "fake"}, "the label of x.mp4 is 'fake'"),
                                         ({"label": "REAL", "original": "y.mp4"}, "only a fake has an original"),
                                         ({"label": "REAL", "split": "dev"}, "the split of x.mp4 is 'dev'"),
                                         ({}, "not DFDC's form")])  # fmt: skip
def test_metadata_that_makes_no_sense_is_refused(tmp_path, entry, said):
    with pytest.raises(UserError, match=said):
        list_videos("dfdc", mini.dfdc(tmp_path, train={"dfdc_train_part_0": {"x.mp4": entry}}))


def test_what_is_not_dfdc_is_refused(tmp_path):
    with pytest.raises(UserError, match="neither train/dfdc_train_part_"):
        list_videos("dfdc", tmp_path)
    root = mini.dfdc(tmp_path)
    (root / "train/dfdc_train_part_0/metadata.json").unlink()
    with pytest.raises(UserError, match="dfdc_train_part_0: metadata.json is missing"):
        list_videos("dfdc", root)
    with pytest.raises(UserError, match="test/labels.csv is missing"):
        list_videos("dfdc", mini.dfdc(tmp_path / "b", test={}), splits=("test",))
    with pytest.raises(UserError, match="metadata.json is missing; without it"):
        list_videos("dfdc", mini.dfdc(tmp_path / "c", train={}), splits=("train", "val"))
    assert len(list_videos("dfdc", tmp_path / "c", splits=("test",))) == 2
    twice = {f"dfdc_train_part_{k}": {"x.mp4": {"label": label}} for k, label in enumerate(("REAL", "FAKE"))}
    with pytest.raises(UserError, match="have the same name"):
        list_videos("dfdc", mini.dfdc(tmp_path / "d", train=twice))


def test_a_label_of_dfdc_test_is_0_or_1(tmp_path):
    with pytest.raises(UserError, match="line 2"):
        list_videos("dfdc", mini.dfdc(tmp_path, test={"x.mp4": "FAKE"}))
