"""Every problem and note has a test here that provokes it."""

import json
import os

import pytest

from cpml_jax.errors import UserError
from data_prep.verify.verify import report_text, verify
from tests.data_prep import miniatures as mini

FOLDER_CSV = "path,label,identity,method,compression,split,video,target\n"


def verified(kind, root, **arguments) -> dict:
    result = verify(kind, root, progress=False, **arguments)
    assert json.loads(json.dumps(result)) == result
    assert result["ok"] == (not result["problems"])
    assert not any("\n" in text for text in result["problems"] + result["notes"])
    return result


def one(texts, *words) -> str:
    """The one text that has all the words."""
    (text,) = [text for text in texts if all(word in text for word in words)]
    return text


@pytest.mark.parametrize("kind", ["ffpp", "dfd", "celebdf", "dfdc", "dfdc_preview", "crop_tree"])
def test_a_sound_miniature_is_ok(tmp_path, kind):
    root = getattr(mini, kind)(tmp_path)
    if kind == "crop_tree":
        mini.crop_lists(root)
    result = verified(kind, root)
    assert result["ok"], result["problems"]
    assert not result["missing"] and not result["duplicates"] and sum(result["videos"].values()) > 4
    assert not any("are empty" in note or "links lead" in note for note in result["notes"])


def test_what_is_there_is_counted(tmp_path):
    result = verified("ffpp", mini.ffpp(tmp_path))
    assert result["videos"]["train/Deepfakes/c23"] == result["videos"]["test/real/c40"] == 2
    assert result["identities"] == {"train": 2, "val": 2, "test": 2}
    text = report_text(result)
    assert text.startswith("ffpp in ") and ": ok" in text and "train/Deepfakes/c23" in text
    assert "2 in val" in text


def test_videos_not_downloaded_are_a_note(tmp_path):
    root = mini.ffpp(tmp_path)
    for name in ("000_001", "001_000", "004_005"):
        (root / f"manipulated_sequences/FaceSwap/c40/videos/{name}.mp4").unlink()
    result = verified("ffpp", root)
    assert result["ok"] and result["missing"] == {"FaceSwap/c40": 3}
    one(result["notes"], "FaceSwap/c40: 3 of 6 videos that the lists name are missing")
    result = verified("ffpp", root, compressions=("raw", "c23"))
    assert result["missing"] == {"real/raw": 6, "Deepfakes/raw": 6, "FaceSwap/raw": 6}
    one(result["problems"], "no video of raw (there are c23, c40)")


def test_official_counts(tmp_path):
    notes = verified("ffpp", mini.ffpp(tmp_path / "a"))["notes"]
    one(notes, "c23: 2 videos of Deepfakes in train, officially 720")
    one(notes, "c40: 2 videos of real in test, officially 140")
    only_test = verified("ffpp", tmp_path / "a", splits=("test",), compressions=("c23",), methods=("Deepfakes",))[
        "notes"
    ]
    assert {text.partition(",")[0] for text in only_test if "officially" in text} == {
        "c23: 2 videos of real in test", "c23: 2 videos of Deepfakes in test",
    }  # fmt: skip
    one(verified("dfd", mini.dfd(tmp_path / "b"))["notes"], "raw: 2 videos of real, officially 363")
    one(
        verified("dfd", tmp_path / "b", splits=("test",))["notes"],
        "c23: 2 videos of DeepFakeDetection, officially 3068",
    )
    one(verified("celebdf", mini.celebdf(tmp_path / "c"))["notes"], "10 videos of real (v1), officially 408")
    one(verified("dfdc", mini.dfdc(tmp_path / "d"))["notes"], "3 videos of fake in train and val, officially 100000")
    one(verified("dfdc_preview", mini.dfdc_preview(tmp_path / "e"))["notes"], "3 videos of real, officially 1131")


def test_version_2_of_celebdf_is_told_by_its_list(tmp_path):
    test = [f"1 YouTube-real/{k:05d}.mp4" for k in range(515)] + list(mini.CELEBDF_TEST[1:])
    notes = verified("celebdf", mini.celebdf(tmp_path, test=test), splits=("test",))["notes"]
    one(notes, "real (v1)")
    mini.touch(tmp_path / "List_of_testing_videos.txt", "\n".join([*test, "1 YouTube-real/00900.mp4"]))
    notes = verified("celebdf", tmp_path, splits=("test",))["notes"]
    one(notes, "517 videos of test (v2), officially 518")
    one(notes, "real/unknown: 1 of 517 videos that the lists name are missing")


def test_official_counts_that_are_met_are_not_noted(tmp_path):
    pairs = {"val": [[f"{k:03d}", f"{k + 1:03d}"] for k in range(0, 140, 2)]}
    root = mini.ffpp(tmp_path, pairs, compressions=("c23",), methods=())
    result = verified("ffpp", root, splits=("val",))
    assert result["videos"] == {"val/real/c23": 140} and result["notes"] == []


def test_a_missing_split_file_is_a_problem(tmp_path):
    root = mini.ffpp(tmp_path)
    (root / "val.json").unlink()
    result = verified("ffpp", root)
    one(result["problems"], "val.json is missing")
    assert "NOT OK" in report_text(result) and "problem: " in report_text(result)
    assert verified("ffpp", root, splits=("train", "test"))["ok"], "nobody asked for it"


def test_a_root_of_something_else_is_a_problem_and_an_unknown_kind_an_error(tmp_path):
    one(verified("celebdf", mini.ffpp(tmp_path))["problems"], "not a root of Celeb-DF")
    one(verified("ffpp", mini.ffpp(tmp_path), methods=("Face2Face",))["problems"], "no video of Face2Face")
    with pytest.raises(UserError, match="did you mean 'celebdf'"):
        verify("celebd", tmp_path)


def test_identities_in_two_splits_are_a_problem(tmp_path):
    root = mini.ffpp(tmp_path / "a", {**mini.SPLITS, "test": [["001", "006"]]})
    one(verified("ffpp", root)["problems"], "identity 001 is in the splits train and test")
    entries = mini.DFDC_PREVIEW | {"original_videos/1003254/1003254_Z_000.mp4": {"label": "real", "set": "test"}}
    result = verified("dfdc_preview", mini.dfdc_preview(tmp_path / "b", entries))
    one(result["problems"], "IDENTITY OVERLAP: 1 identities are in val and in test (1003254)")


def test_a_known_overlap_is_a_loud_note(tmp_path):
    root = mini.celebdf(tmp_path)
    official = verified("celebdf_official", root)
    one(official["notes"], "IDENTITY OVERLAP: 1 identities are in train and in test (id0)", "convention")
    assert official["ok"]
    by_identity = verified("celebdf", root)
    assert by_identity["ok"] and not any("OVERLAP" in note for note in by_identity["notes"])
    one(by_identity["notes"], "5 videos are in no split")
    assert not any("in no split" in note for note in verified("celebdf", root, splits=("test",))["notes"])


def test_faces_put_into_fakes_of_another_split_are_a_note(tmp_path):
    entries = mini.DFDC_PREVIEW | {
        "method_A/1003255/1003255_C/2000001_1003255_C_000.mp4": {"label": "fake", "set": "train"}
    }
    result = verified("dfdc_preview", mini.dfdc_preview(tmp_path, entries))
    one(result["notes"], "1 identities are in both train and test as faces put into fakes (2000001)")
    assert result["ok"]


def test_labels_that_contradict_each_other_are_a_problem(tmp_path):
    root = mini.celebdf(tmp_path)
    (root / "List_of_testing_videos.txt").write_text("0 YouTube-real/00170.mp4\n")
    one(verified("celebdf", root)["problems"], "0 means fake, but YouTube-real holds the opposite")


def test_a_target_that_nobody_is_is_a_problem(tmp_path):
    root = mini.dfd(tmp_path / "a", fake=("07_02__exit_phone_room__YVGY8LOK",))
    one(verified("dfd", root)["problems"], "1 identities are the targets of fakes and are in no real video (07)")
    root = mini.dfd(tmp_path / "b", real=(), fake=mini.DFD_FAKE)
    (root / "original_sequences/actors/c23/videos").mkdir(parents=True)
    result = verified("dfd", root)
    one(result["notes"], "targets of fakes")  # no real video is there at all: not downloaded
    assert result["ok"]


def test_a_target_video_that_is_missing_is_a_note(tmp_path):
    root = mini.dfd(tmp_path, fake=("01_02__kitchen_pan__YVGY8LOK",))
    result = verified("dfd", root)
    one(result["notes"], "1 real videos that fakes were made from are missing (01__kitchen_pan)")
    assert result["ok"]


def test_originals_in_parts_of_dfdc_that_are_not_there_are_a_note(tmp_path):
    train = {"dfdc_train_part_0": mini.DFDC_TRAIN["dfdc_train_part_0"] | {"x.mp4": {"label": "FAKE", "original": "y"}}}
    result = verified("dfdc", mini.dfdc(tmp_path, train=train))
    one(result["notes"], "targets of fakes and are in no real video (y)")
    assert result["ok"]
    for part in range(1, 50):
        mini.touch(tmp_path / f"train/dfdc_train_part_{part}/metadata.json", "{}")
    one(verified("dfdc", tmp_path)["problems"], "targets of fakes and are in no real video (y)")


def test_a_fake_of_somebody_else_is_a_problem(tmp_path):
    rows = "a.mp4,real,ann,,,,a,\nf.mp4,fake,bob,swap,,,f,a\n"
    path = mini.touch(tmp_path / "list.csv", FOLDER_CSV + rows)
    one(verified("folder", path)["problems"], "1 fakes do not show the person of their targets (f)")


def test_a_csv_that_names_files_that_are_not_there(tmp_path):
    mini.touch(tmp_path / "a.mp4")
    path = mini.touch(
        tmp_path / "list.csv", FOLDER_CSV + "a.mp4,real,,,,,,\nb.mp4,fake,,,,,,\nc.mp4,fake,,,,,,nobody\n"
    )
    result = verified("folder", path)
    assert result["missing"] == {"fake/unknown": 2}
    one(result["problems"], "targets of fakes and are in no real video (nobody)")


def test_copies_across_splits_labels_methods_and_compressions_are_problems(tmp_path):
    root = mini.ffpp(tmp_path)
    videos = "manipulated_sequences/{}/{}/videos/{}.mp4"
    real = "original_sequences/youtube/c23/videos/000.mp4"
    for a, b, differing in [
        (videos.format("Deepfakes", "c23", "000_001"), videos.format("FaceSwap", "c23", "000_001"), "method"),
        (videos.format("Deepfakes", "c23", "002_003"), videos.format("Deepfakes", "c40", "002_003"), "compression"),
        (videos.format("Deepfakes", "c23", "004_005"), videos.format("Deepfakes", "c23", "001_000"), "split"),
        (real, videos.format("FaceSwap", "c23", "001_000"), "label, method"),
    ]:
        (root / b).write_bytes((root / a).read_bytes())
        text = one(verified("ffpp", root)["problems"], a, b)
        assert text.endswith(f"and differ in {differing}")
        mini.touch(root / b)
    assert verified("ffpp", root)["ok"]


def test_copies_of_one_kind_are_a_note_and_files_need_not_be_read(tmp_path):
    root = mini.ffpp(tmp_path)
    paths = [root / f"original_sequences/youtube/c23/videos/{name}.mp4" for name in ("000", "001")]
    paths[1].write_bytes(paths[0].read_bytes())
    result = verified("ffpp", root)
    assert result["ok"] and result["duplicates"] == [[str(path) for path in paths]]
    one(result["notes"], "2 files have one content", "000.mp4", "001.mp4")
    assert not verified("ffpp", root, hash_files=False)["duplicates"]


def test_landmarks_copied_from_one_method_to_another_are_a_problem(tmp_path):
    root = mini.crop_lists(mini.crop_tree(tmp_path))
    names = {"Deepfakes": "000_001", "FaceSwap": "002_003"}
    landmarks = [root / f"manipulated_sequences/{m}/c23/video_landmark_new/{n}.txt" for m, n in names.items()]
    landmarks[1].write_bytes(landmarks[0].read_bytes())
    one(verified("crop_tree", root)["problems"], *map(str, landmarks), "method")


def test_crops_without_images_or_landmarks_are_notes(tmp_path):
    root = mini.crop_lists(mini.crop_tree(tmp_path))
    (root / "original_sequences/youtube/c23/video_landmark_new/000.txt").unlink()
    (root / "original_sequences/youtube/raw/crop_MTCNN/004/face0/0000.jpg").unlink()
    result = verified("crop_tree", root)
    one(result["notes"], "1 files of landmarks are missing", "c23/video_landmark_new/000.txt")
    one(result["notes"], "1 folders of crops have no .jpg", "raw/crop_MTCNN/004/face0")
    assert result["ok"]


def test_empty_files_and_links_that_lead_nowhere_or_in_circles_are_notes(tmp_path):
    root = mini.celebdf(tmp_path / "root")
    (root / "YouTube-real/00001.mp4").write_bytes(b"")
    (root / "YouTube-real/00002.mp4").symlink_to(tmp_path / "nowhere.mp4")
    (root / "YouTube-real/00003.mp4").symlink_to("00003.mp4")
    (root / "Celeb-real/again").symlink_to(root)
    result = verified("celebdf", root)
    assert result["ok"]
    one(result["notes"], "1 files are empty (0 bytes)", "00001.mp4")
    one(result["notes"], "1 links lead nowhere", "00002.mp4")
    assert "again" in one(result["notes"], "2 links lead in circles", "00003.mp4")


def test_sound_links_are_as_good_as_files(tmp_path):
    root = mini.celebdf(tmp_path / "root")
    away = tmp_path / "away.mp4"
    os.rename(root / "YouTube-real/00001.mp4", away)
    (root / "YouTube-real/00001.mp4").symlink_to(away)
    result = verified("celebdf", root)
    assert result["ok"] and not any("links lead" in note for note in result["notes"])


def test_files_of_no_use_are_notes(tmp_path):
    root = mini.ffpp_masks(mini.ffpp(tmp_path))
    mini.touch(root / "original_sequences/youtube/c23/videos/999.mp4")
    mini.touch(root / "manipulated_sequences/Deepfakes/c23/videos/000_001.mp4.part")
    mini.touch(root / "archive.zip")
    mini.touch(root / "README.md")
    notes = [note for note in verified("ffpp", root)["notes"] if "does not use" in note]
    assert len(notes) == 3
    one(notes, "original_sequences/youtube: 1 files", ".mp4 (999.mp4)")
    one(notes, "manipulated_sequences/Deepfakes: 1 files", ".part (000_001.mp4.part)")
    one(notes, ".: 1 files", "archive.zip")
    assert [
        n for n in verified("ffpp", root, splits=("test",), methods=("FaceSwap",))["notes"] if "does not use" in n
    ] == notes
