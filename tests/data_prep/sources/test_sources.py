import pytest

from cpml_jax.errors import UserError
from data_prep.sources import list_videos
from tests.data_prep.miniatures import METHODS, SPLITS, ffpp, ffpp_masks


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
    # One face in one place: the real target, all fakes of it, all compressions.
    assert {v.track_key for v in found.values() if v.identity == "005"} == {"youtube/005"}
    assert len({v.track_key for v in found.values()}) == 6
    assert {v.split for v in found.values() if v.identity == "000"} == {"train"}


def test_only_what_is_asked_for_and_there(tmp_path):
    root = ffpp(tmp_path)
    assert {v.compression for v in listed(root, compressions=("raw", "c23"))} == {"c23"}
    assert {v.split for v in listed(root, splits=("val",))} == {"val"}


def test_nothing_asked_for_is_everything(tmp_path):
    root = ffpp(tmp_path, methods=(*METHODS, "FaceShifter"))
    (root / "manipulated_sequences/DeepFakeDetection/c23/videos").mkdir(parents=True)  # a data set of its own
    assert listed(root, compressions=(), methods=(), splits=()) == listed(root, methods=(*METHODS, "FaceShifter"))
    assert {v.method for v in list_videos("ffpp", root)} == {"real", *METHODS, "FaceShifter"}


def test_masks_are_found_where_they_lie(tmp_path):
    root = ffpp_masks(ffpp(tmp_path))
    found = {(v.method, v.compression, v.video): v.mask for v in listed(root)}
    mask = str(root / "manipulated_sequences/Deepfakes/masks/videos/000_001.mp4")
    assert found["Deepfakes", "c23", "000_001"] == found["Deepfakes", "c40", "000_001"] == mask
    assert not found["FaceSwap", "c23", "000_001"] and not found["real", "c23", "000"]
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


def csv_videos(path, text, splits=("train", "val", "test")):
    path.write_text(text)
    return {v.path.rpartition("/")[2]: v for v in list_videos("folder", path, splits=splits)}


def test_a_csv_pairs_compressions_and_names_targets(tmp_path):
    header = "path,label,identity,method,compression,split,video,target\n"
    found = csv_videos(
        tmp_path / "list.csv",
        header + "a23.mp4,real,ann,,c23,train,a,\na40.mp4,real,ann,,c40,train,a,\nf.mp4,fake,,swap,c23,train,f,a\n"
        "b.mp4,real,,,,val,,\n",
    )
    views, fake, alone = (found["a23.mp4"], found["a40.mp4"]), found["f.mp4"], found["b.mp4"]
    assert {(v.video, v.track_key, v.identity, v.split) for v in views} == {("a", "real/a", "ann", "train")}
    assert [v.compression for v in views] == ["c23", "c40"]
    assert (fake.target_video, fake.identity, fake.method, fake.track_key) == ("a", "ann", "swap", "swap/f")
    assert (alone.video, alone.identity, alone.compression, alone.target_video) == ("b.mp4", "b.mp4", "unknown", "")
    for rows, said in [
        ("a.mp4,real,,,c23,,a,\nb.mp4,real,,,c23,,a,\n", "line 3: video 'a' is there twice as c23"),
        ("a.mp4,real,ann,,c23,,a,\nb.mp4,real,bob,,c40,,a,\n", "line 3: video 'a' has two values of identity"),
        ("a.mp4,fake,x,,c23,,a,b\nb.mp4,fake,x,,c40,,a,c\n", "line 3: video 'a' has two values of target"),
        ("a.mp4,real,,,,,a,b\n", "line 2: labelled real, but it has a target"),
        ("a.mp4,real,,,,train,a,\nf.mp4,fake,,,,test,f,a\n", "line 3: identity 'a' is in the splits train and test"),
    ]:
        with pytest.raises(UserError, match=said):
            csv_videos(tmp_path / "list.csv", header + rows)


def test_an_unknown_kind_names_the_nearest(tmp_path):
    with pytest.raises(UserError, match="did you mean 'ffpp'"):
        list_videos("ffp", str(tmp_path), compressions=(), methods=(), splits=())
