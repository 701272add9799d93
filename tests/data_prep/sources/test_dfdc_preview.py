"""DFDC's preview in miniature."""

import pytest

from cpml_jax.errors import UserError
from data_prep.sources import list_videos
from tests.data_prep import miniatures as mini
from tests.data_prep.sources.listing import by_path, facts


def test_dfdc_preview_one_by_one(tmp_path):
    videos = by_path("dfdc_preview", mini.dfdc_preview(tmp_path))
    assert [facts(videos[name]) for name in mini.DFDC_PREVIEW] == [
        (0, "real", "train", "1003255", "", ""),
        (0, "real", "val", "1003254", "", ""),
        (0, "real", "test", "2000001", "", ""),
        (1, "method_A", "val", "1003254", "1255229", "1003254_A_001"),
        (1, "method_B", "test", "2000001", "2000002", "2000001_B_002"),
    ]
    assert {v.video for v in list_videos("dfdc_preview", tmp_path, methods=("method_B",)) if v.label} == {
        "2000002_2000001_B_002"
    }


@pytest.mark.parametrize("name, label", [("method_A/1/1_A/2_1_A_001.mp4", "real"),
                                         ("original_videos/1/1_A_001.mp4", "fake"),
                                         ("original_videos/1/1_A_001.mp4", "genuine")])  # fmt: skip
def test_a_label_that_the_name_contradicts_is_refused(tmp_path, name, label):
    with pytest.raises(UserError, match=f"{name.rpartition('/')[2]}.*{label}"):
        list_videos("dfdc_preview", mini.dfdc_preview(tmp_path, {name: {"label": label, "set": "train"}}))


def test_what_is_not_the_preview_is_refused(tmp_path):
    with pytest.raises(UserError, match="dataset.json is missing"):
        list_videos("dfdc_preview", tmp_path)
    (tmp_path / "dataset.json").write_text("[1]")
    with pytest.raises(UserError, match="dataset.json: not as"):
        list_videos("dfdc_preview", tmp_path)
