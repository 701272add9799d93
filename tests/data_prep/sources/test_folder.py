"""Your own videos: folders and CSV files."""

import pytest

from cpml_jax.errors import UserError
from data_prep.sources import list_videos


def test_a_folder_of_ones_own(tmp_path):
    for name in ("real/a.mp4", "real/trip/b c.mov", "fake/ä.avi"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    actual = {v.video: v for v in list_videos("folder", str(tmp_path), compressions=(), methods=(), splits=("test",))}
    assert {k: v.label for k, v in actual.items()} == {"a.mp4": 0, "trip/b c.mov": 0, "ä.avi": 1}
    assert actual["ä.avi"].method == "fake" and actual["a.mp4"].compression == "unknown"
    with pytest.raises(UserError, match="neither real/ nor fake/"):
        list_videos("folder", str(tmp_path / "real"), compressions=(), methods=(), splits=("test",))


def test_a_csv_and_its_mistakes(tmp_path):
    path = tmp_path / "list.csv"
    header = "path,label,identity,method,compression,split\n"
    path.write_text(header + "a.mp4,real,ann,,c23,train\nb.mp4,1,bob,lipsync,c40,\n")
    actual = {
        v.video: v for v in list_videos("folder", str(path), compressions=(), methods=(), splits=("train", "test"))
    }
    assert (actual["a.mp4"].identity, actual["a.mp4"].split, actual["a.mp4"].method) == ("ann", "train", "real")
    assert (actual["b.mp4"].label, actual["b.mp4"].method, actual["b.mp4"].split) == (1, "lipsync", "test")
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


def csv_videos(path, text):
    path.write_text(text)
    return {v.path.rpartition("/")[2]: v for v in list_videos("folder", path)}


def test_a_csv_pairs_compressions_and_names_targets(tmp_path):
    header = "path,label,identity,method,compression,split,video,target\n"
    actual = csv_videos(
        tmp_path / "list.csv",
        header + "a23.mp4,real,ann,,c23,train,a,\na40.mp4,real,ann,,c40,train,a,\nf.mp4,fake,,swap,c23,train,f,a\n"
        "b.mp4,real,,,,val,,\n",
    )
    views, fake, alone = (actual["a23.mp4"], actual["a40.mp4"]), actual["f.mp4"], actual["b.mp4"]
    assert {(v.video, v.track_key, v.identity, v.split) for v in views} == {("a", "real/a", "ann", "train")}
    assert [v.compression for v in views] == ["c23", "c40"]
    assert (fake.target_video, fake.identity, fake.method, fake.track_key) == ("a", "ann", "swap", "swap/f")
    assert (alone.video, alone.identity, alone.compression, alone.target_video) == ("b.mp4", "b.mp4", "unknown", "")
    for rows, said in [
        ("a.mp4,real,,,c23,,a,\nb.mp4,real,,,c23,,a,\n", "line 3: video 'a' appears twice as c23"),
        ("a.mp4,real,ann,,c23,,a,\nb.mp4,real,bob,,c40,,a,\n", "line 3: video 'a' has two values of identity"),
        ("a.mp4,fake,x,,c23,,a,b\nb.mp4,fake,x,,c40,,a,c\n", "line 3: video 'a' has two values of target"),
        ("a.mp4,real,,,,,a,b\n", "line 2: labelled real, but it has a target"),
        ("a.mp4,real,,,,train,a,\nf.mp4,fake,,,,test,f,a\n", "line 3: identity 'a' is in the splits train and test"),
    ]:
        with pytest.raises(UserError, match=said):
            csv_videos(tmp_path / "list.csv", header + rows)
