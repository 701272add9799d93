import json

import pytest

from cpml_jax.errors import UserError
from data_prep.sources import list_videos

METHODS = ("Deepfakes", "FaceSwap")
SPLITS = {"train": [["000", "001"]], "val": [["002", "003"]], "test": [["004", "005"]]}


def ffpp(root, splits=SPLITS, splits_in=".", compressions=("c23", "c40")):
    folder = root / splits_in
    folder.mkdir(parents=True, exist_ok=True)
    for split, pairs in splits.items():
        (folder / f"{split}.json").write_text(json.dumps(pairs))
        for a, b in pairs:
            names = [("original_sequences/youtube", n) for n in (a, b)]
            names += [(f"manipulated_sequences/{m}", n) for m in METHODS for n in (f"{a}_{b}", f"{b}_{a}")]
            for sequence, name in names:
                for compression in compressions:
                    path = root / sequence / compression / "videos" / f"{name}.mp4"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(b"x")
    return root


def listed(root, **changes):
    arguments = dict(compressions=("c23", "c40"), methods=METHODS, splits=("train", "val", "test"))
    return list_videos("ffpp", str(root), **(arguments | changes))


@pytest.mark.parametrize("splits_in", [".", "dataset/splits", "splits"])
def test_ffpp_one_by_one(tmp_path, splits_in):
    found = {(v.method, v.compression, v.video): v for v in listed(ffpp(tmp_path, splits_in=splits_in))}
    assert len(found) == 3 * 2 * (2 + 2 * 2)
    real, fake = found["real", "c23", "004"], found["FaceSwap", "c40", "005_004"]
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
    assert (
        fake.track_key
        == found["FaceSwap", "c23", "005_004"].track_key
        != found["Deepfakes", "c23", "005_004"].track_key
    )
    assert {v.split for v in found.values() if v.identity == "000"} == {"train"}


def test_only_what_is_asked_for_and_there(tmp_path):
    root = ffpp(tmp_path)
    assert {v.compression for v in listed(root, compressions=("raw", "c23"))} == {"c23"}
    assert {v.split for v in listed(root, splits=("val",))} == {"val"}


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


def test_a_folder_of_ones_own(tmp_path):
    for name in ("real/a.mp4", "real/trip/b c.mov", "fake/ä.avi"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = {v.video: v for v in list_videos("folder", str(tmp_path), compressions=(), methods=(), splits=("test",))}
    assert {k: v.label for k, v in found.items()} == {"a.mp4": 0, "trip/b c.mov": 0, "ä.avi": 1}
    assert found["ä.avi"].method == "fake" and found["a.mp4"].compression == "unknown"
    with pytest.raises(UserError, match="neither real/ nor fake/"):
        list_videos("folder", str(tmp_path / "real"), compressions=(), methods=(), splits=("test",))


def test_a_csv_and_its_mistakes(tmp_path):
    path = tmp_path / "list.csv"
    header = "path,label,identity,method,compression,split\n"
    path.write_text(header + "a.mp4,real,ann,,c23,train\nb.mp4,1,bob,lipsync,c40,\n")
    found = {
        v.video: v for v in list_videos("folder", str(path), compressions=(), methods=(), splits=("train", "test"))
    }
    assert (found["a.mp4"].identity, found["a.mp4"].split, found["a.mp4"].method) == ("ann", "train", "real")
    assert (found["b.mp4"].label, found["b.mp4"].method, found["b.mp4"].split) == (1, "lipsync", "test")
    for rows, said in [("a.mp4,maybe,,,,\n", "line 2: label 'maybe'"), ("a.mp4,1,,,,dev\n", "split 'dev'"),
                       ("a.mp4,1,,,,\na.mp4,0,,,,\n", "listed twice"), (",real,,,,\n", "line 2: the path is empty"),
                       ("a.mp4,1,,x/y,,\n", "may not contain /"), ("a.mp4,1,,real,,\n", "labelled fake"),
                       ("a.mp4,0,ann,,,train\nb.mp4,1,ann,,,\n", "line 3: identity 'ann'")]:  # fmt: skip
        path.write_text(header + rows)
        with pytest.raises(UserError, match=said):
            list_videos("folder", str(path), compressions=(), methods=(), splits=("test",))
    path.write_text("label,path\nreal\n")  # a line cut short
    with pytest.raises(UserError, match="path is empty"):
        list_videos("folder", str(path), compressions=(), methods=(), splits=("test",))
    path.write_text("file;class\n")
    with pytest.raises(UserError, match="first line"):
        list_videos("folder", str(path), compressions=(), methods=(), splits=("test",))


def test_an_unknown_kind_names_the_nearest(tmp_path):
    with pytest.raises(UserError, match="did you mean 'ffpp'"):
        list_videos("ffp", str(tmp_path), compressions=(), methods=(), splits=())
