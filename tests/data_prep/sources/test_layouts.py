"""Every data set's miniature, in its exact layout: labels, splits, identities and targets one by one."""

import json
from pathlib import Path

import pytest

from cpml_jax.errors import UserError
from data_prep import sources
from data_prep.sources import Listed, list_videos
from tests.data_prep import miniatures as mini


def found(kind, root, **wanted) -> dict[str, Listed]:
    """By path inside the root."""
    return {str(Path(v.path).relative_to(root)): v for v in list_videos(kind, root, **wanted)}


def say(video: Listed) -> tuple:
    return video.label, video.method, video.split, video.identity, video.source_identity, video.target_video


# --- DFD ------------------------------------------------------------------------------------------------------


def test_dfd_is_a_test_set_without_split_files(tmp_path):
    videos = found("dfd", mini.dfd(tmp_path), splits=("test",))
    assert {v.compression for v in videos.values()} == {"raw", "c23"} and len(videos) == 8
    real = videos["original_sequences/actors/c23/videos/01__exit_phone_room.mp4"]
    fake = videos["manipulated_sequences/DeepFakeDetection/raw/videos/01_02__exit_phone_room__YVGY8LOK.mp4"]
    assert say(real) == (0, "real", "test", "01", "", "")
    assert say(fake) == (1, "DeepFakeDetection", "test", "01", "02", "01__exit_phone_room")
    assert fake.target_video == real.video
    keys = {v.track_key for v in videos.values()}
    assert len(keys) == 4, "compressions of a video share a track"
    assert len(found("dfd", tmp_path, splits=("test",), compressions=("raw",))) == 4


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


# --- Celeb-DF -------------------------------------------------------------------------------------------------


def test_celebdf_one_by_one(tmp_path):
    videos = found("celebdf", mini.celebdf(tmp_path))
    method = "Celeb-synthesis"
    assert {name: say(v) for name, v in videos.items()} == {
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
    videos = found("celebdf_official", mini.celebdf(tmp_path))
    listed = {line.partition(" ")[2] for line in mini.CELEBDF_TEST}
    assert videos.keys() == listed | set(mini.CELEBDF_REST)
    assert {name for name, v in videos.items() if v.split == "test"} == listed
    assert videos["Celeb-real/id0_0002.mp4"].split == "train", "an identity of the test, as the field has it"
    assert {v.split for v in videos.values() if v.identity == "id3"} == {"val"}


def test_celebdf_without_anyone_left_to_train_on(tmp_path):
    root = mini.celebdf(tmp_path, rest=("Celeb-real/id0_0002.mp4", "Celeb-synthesis/id0_id1_0002.mp4"))
    with pytest.raises(UserError, match="no fake is left to train on.*celebdf_official"):
        list_videos("celebdf", root)
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


# --- DFDC -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("test_folder", ["test", "test/videos"])
def test_dfdc_one_by_one(tmp_path, test_folder):
    videos = found("dfdc", mini.dfdc(tmp_path, test_folder=test_folder))
    assert {Path(name).name: say(v) for name, v in videos.items()} == {
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
        list_videos("dfdc", mini.dfdc(tmp_path / "b", test={}))
    with pytest.raises(UserError, match="metadata.json is missing; without it"):
        list_videos("dfdc", mini.dfdc(tmp_path / "c", train={}))
    assert len(list_videos("dfdc", tmp_path / "c", splits=("test",))) == 2
    twice = {f"dfdc_train_part_{k}": {"x.mp4": {"label": label}} for k, label in enumerate(("REAL", "FAKE"))}
    with pytest.raises(UserError, match="have one name"):
        list_videos("dfdc", mini.dfdc(tmp_path / "d", train=twice))


def test_a_label_of_dfdc_test_is_0_or_1(tmp_path):
    with pytest.raises(UserError, match="line 2"):
        list_videos("dfdc", mini.dfdc(tmp_path, test={"x.mp4": "FAKE"}))


def test_dfdc_preview_one_by_one(tmp_path):
    videos = found("dfdc_preview", mini.dfdc_preview(tmp_path))
    assert [say(videos[name]) for name in mini.DFDC_PREVIEW] == [
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


# --- the tree of ready-made crops -----------------------------------------------------------------------------


def test_crop_tree_by_list_files(tmp_path):
    root = mini.crop_lists(mini.crop_tree(tmp_path))
    videos = found("crop_tree", root, compressions=("raw",))
    fake = videos["manipulated_sequences/Deepfakes/raw/crop_MTCNN/005_004/face0"]
    assert say(fake) == (1, "Deepfakes", "test", "005", "004", "005")
    assert fake.crop_landmarks == str(root / "manipulated_sequences/Deepfakes/raw/video_landmark_new/005_004.txt")
    real = videos["original_sequences/youtube/raw/crop_MTCNN/002/face0"]
    assert say(real) == (0, "real", "val", "002", "", "")
    assert {(v.split, v.method, v.video) for v in videos.values()} == {
        ("train", "real", "000"), ("train", "real", "001"), ("train", "Deepfakes", "000_001"), ("val", "real", "002"),
        ("val", "FaceSwap", "002_003"), ("test", "real", "004"), ("test", "Deepfakes", "005_004"),
    }  # fmt: skip
    both = found("crop_tree", root, splits=("val",), methods=("FaceSwap",))
    assert {v.compression for v in both.values()} == {"raw", "c23"} and len({v.track_key for v in both.values()}) == 2


def test_crop_tree_by_official_splits_which_come_first(tmp_path):
    root = mini.crop_lists(mini.crop_tree(tmp_path))
    for split, pairs in mini.SPLITS.items():
        (root / f"{split}.json").write_text(json.dumps(pairs))
    videos = found("crop_tree", root, compressions=("c23",))
    assert len(videos) == 3 * (2 + 2 * len(mini.METHODS))
    fake = videos["manipulated_sequences/FaceSwap/c23/crop_MTCNN/001_000/face0"]
    assert say(fake) == (1, "FaceSwap", "train", "001", "000", "001")
    (root / "val.json").unlink()
    with pytest.raises(UserError, match="val.json is missing"):
        list_videos("crop_tree", root)


def test_crop_tree_with_one_list_is_a_test_set(tmp_path):
    root = mini.crop_lists(mini.crop_tree(tmp_path), ".", {"FF++_list": "youtube,000,+1\nDeepfakes,001_000,-1\n"})
    assert {v.split for v in list_videos("crop_tree", root, splits=("test",))} == {"test"}
    with pytest.raises(UserError, match="no list for train"):
        list_videos("crop_tree", root)


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


# --- all of them ----------------------------------------------------------------------------------------------


def test_a_new_data_set_is_one_file(tmp_path, monkeypatch):
    """The README's example, as it stands there."""
    package = tmp_path / "sources"
    package.mkdir()
    (package / "clips.py").write_text(NEW_DATA_SET)
    monkeypatch.setattr(sources, "__path__", [*sources.__path__, str(package)])
    for name in ("real/ann_1.mp4", "real/bob_1.mp4", "swapped/ann_1_bob.mp4"):
        mini.touch(tmp_path / "root" / name)
    videos = found("clips", tmp_path / "root", splits=())
    assert videos["real/bob_1.mp4"].label == 0 and videos["real/bob_1.mp4"].identity == "bob"
    assert say(videos["swapped/ann_1_bob.mp4"]) == (1, "swapped", sources.hashed_split("ann"), "ann", "bob", "ann_1")
    with pytest.raises(UserError, match="real is missing"):
        list_videos("clips", tmp_path)


NEW_DATA_SET = '''"""Clips: real/<person>_<number>.mp4 and swapped/<person>_<number>_<other person>.mp4."""

from pathlib import Path

from cpml_jax.errors import UserError
from cpml_jax.schema import FAKE, REAL, REAL_METHOD, UNKNOWN_COMPRESSION
from data_prep.sources import Listed, hashed_split, wanted


def videos(root, *, compressions, methods, splits) -> list[Listed]:
    found = []
    for folder, label, method in (("real", REAL, REAL_METHOD), ("swapped", FAKE, "swapped")):
        if not (Path(root) / folder).is_dir():
            raise UserError(f"{root}: not a root of Clips, {folder} is missing")
        for path in (Path(root) / folder).glob("*.mp4"):
            person, number, *other = path.stem.split("_")
            found.append(Listed(
                path=str(path), label=label, method=method, compression=UNKNOWN_COMPRESSION, video=path.stem,
                identity=person, source_identity=other[0] if other else "",
                target_video=f"{person}_{number}" if label == FAKE else "",
                split=hashed_split(person), track_key=f"{method}/{path.stem}",
            ))
    return wanted(found, compressions, methods, splits)
'''


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


@pytest.mark.parametrize("name, argument, kind", [("dfd", "/x", "dfd"), ("celebdf", "/x", "celebdf"),
                                                  ("dfdc", "/x", "dfdc"), ("dfdc", "preview:/x", "dfdc_preview"),
                                                  ("crop_tree", "/x", "crop_tree")])  # fmt: skip
def test_configurations_name_their_source(name, argument, kind):
    import importlib

    config = importlib.import_module(f"cpml_jax.configs.{name}").get_config(argument)
    (source,) = config.data.sources.values()
    assert (source.kind, source.root) == (kind, "/x") and kind in sources.kinds()
    assert config.train.dataset in config.data.sources
