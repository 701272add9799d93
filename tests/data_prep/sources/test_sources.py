"""What all data sets share: choosing, refusing, splitting by hash."""

import importlib
from pathlib import Path

import pytest

from cpml_jax.errors import UserError
from cpml_jax.schema import FFPP_METHODS
from data_prep import sources
from data_prep.sources import Source, list_videos
from tests.data_prep import miniatures as mini
from tests.data_prep.sources.listing import by_path, facts

ROOT = Path(__file__).resolve().parents[3]


def test_a_new_data_set_is_one_file(tmp_path, monkeypatch):
    """The example in docs/datasets.md, as it stands there."""
    package = tmp_path / "sources"
    package.mkdir()
    document = (ROOT / "docs/datasets.md").read_text()
    (package / "clips.py").write_text(document.partition("```python\n")[2].partition("```")[0])
    monkeypatch.setattr(sources, "__path__", [*sources.__path__, str(package)])
    for name in ("real/ann_1.mp4", "real/bob_1.mp4", "swapped/ann_1_bob.mp4"):
        mini.touch(tmp_path / "root" / name)
    videos = by_path("clips", tmp_path / "root")
    assert videos["real/bob_1.mp4"].label == 0 and videos["real/bob_1.mp4"].identity == "bob"
    assert facts(videos["swapped/ann_1_bob.mp4"]) == (1, "swapped", sources.hashed_split("ann"), "ann", "bob", "ann_1")
    with pytest.raises(UserError, match="real is missing"):
        list_videos("clips", tmp_path)
    # Methods of another data set would leave its real videos alone.
    with pytest.raises(UserError, match="no video of Deepfakes, FaceSwap .there are swapped.; leave that out"):
        list_videos("clips", tmp_path / "root", methods=mini.METHODS)


def test_two_files_for_one_video_are_refused(tmp_path):
    root = mini.celebdf(tmp_path / "a")
    mini.touch(root / "YouTube-real/00170.mp4")
    listed = list_videos("celebdf", root)
    assert len({(v.method, v.compression, v.video) for v in listed}) == len(listed)
    entries = {f"method_A/{k}/{k}_A/2_1_A_001.mp4": {"label": "fake", "set": "test"} for k in (1, 3)}
    with pytest.raises(UserError, match="are both video '2_1_A_001' of method_A"):
        list_videos("dfdc_preview", mini.dfdc_preview(tmp_path / "b", entries))


@pytest.mark.parametrize("kind", sources.kinds())
def test_a_root_that_is_not_there_or_empty_is_one_line(tmp_path, kind):
    for root in (tmp_path / "nothing", tmp_path):
        with pytest.raises(UserError) as error:
            list_videos(kind, root, splits=("test",))
        assert "\n" not in str(error.value) and str(root) in str(error.value)


def test_hashed_splits_hold_still():
    sides = [sources.hashed_split(f"id{k}") for k in range(1000)]
    assert sides[:5] == ["train", "train", "train", "val", "train"], "another rule: records would change their split"
    assert 70 < sides.count("val") < 130


def own_videos(root: Path) -> Path:
    mini.touch(root / "real/a.mp4")
    mini.touch(root / "fake/b.mp4")
    return root


@pytest.mark.parametrize(
    "name, prefix, kind, make",
    [
        ("dfd", "", "dfd", mini.dfd),
        ("celebdf", "", "celebdf", mini.celebdf),
        ("dfdc", "", "dfdc", mini.dfdc),
        ("dfdc", "preview:", "dfdc_preview", mini.dfdc_preview),
        ("crop_tree", "", "crop_tree", lambda root: mini.crop_lists(mini.crop_tree(root))),
        ("folder", "", "folder", own_videos),
    ],
)
def test_configurations_list_their_data_set(tmp_path, name, prefix, kind, make):
    config = importlib.import_module(f"cpml_jax.configs.{name}").get_config(f"{prefix}{make(tmp_path)}")
    assert config.train.dataset in config.data.sources
    ((key, settings),) = config.data.sources.items()
    assert (settings.kind, settings.root) == (kind, str(tmp_path))
    videos = Source(key, **settings.to_dict()).list_videos()
    assert {v.label for v in videos} == {0, 1}


def test_the_configuration_of_ffpp_lists_the_papers_methods_and_not_faceshifter(tmp_path):
    config = importlib.import_module("cpml_jax.configs.ffpp").get_config()
    mini.ffpp(tmp_path, compressions=("raw", "c23", "c40"), methods=(*FFPP_METHODS, "FaceShifter"))
    settings = config.data.sources.ffpp.to_dict() | {"root": str(tmp_path)}
    videos = Source("ffpp", **settings).list_videos()
    assert {v.method for v in videos} == {"real", *FFPP_METHODS}
    assert {v.compression for v in videos} == {"raw", "c23", "c40"} and len(videos) == 3 * 3 * (2 + 4 * 2)


def test_a_source_without_a_root_is_one_line_that_names_the_key():
    with pytest.raises(UserError, match="data.sources.ffpp.root is empty"):
        Source("ffpp", "ffpp", "").list_videos()


def test_an_unknown_kind_names_the_nearest(tmp_path):
    with pytest.raises(UserError, match="did you mean 'ffpp'"):
        list_videos("ffp", str(tmp_path), compressions=(), methods=(), splits=())


@pytest.mark.parametrize(
    "chosen, message",
    [
        (dict(compressions=("raw", "c23")), r"no video of raw \(there are c23, c40\); leave that out of compressions"),
        (dict(methods=("Face2Face", "FaceSwap")), r"no video of Face2Face \(there are Deepfakes, FaceSwap\)"),
        (dict(splits=("val", "test")), r"no video of test \(there are train, val\)"),
        (dict(splits=("test",)), r"no video of test \(there are train, val\)"),
    ],
)
def test_what_is_asked_for_and_absent_is_an_error_that_names_what_there_is(tmp_path, chosen, message):
    root = mini.ffpp(tmp_path)
    for video in root.rglob("00[45]*.mp4"):
        video.unlink()
    with pytest.raises(UserError, match=message):
        list_videos("ffpp", root, **chosen)
    assert {v.split for v in list_videos("ffpp", root)} == {"train", "val"}


def test_a_method_that_is_not_asked_for_is_left_out(tmp_path):
    root = mini.ffpp(tmp_path, methods=(*mini.METHODS, "FaceShifter"))
    assert {v.method for v in list_videos("ffpp", root, methods=mini.METHODS)} == {"real", *mini.METHODS}
