"""Data sets on the hub: huggingface_hub itself, asked for a repository of a server on this machine, or for nothing."""

import contextlib
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import crop_folders
import hub_server
import pytest
from command import run_main
from hub_server import COMMIT

from cpml_jax.errors import UserError
from data_prep import hub
from data_prep.crops import writer
from data_prep.sources import Source, list_videos

ROOT = Path(__file__).resolve().parents[2]
VIDEOS = {"clips/real/a.mp4": b"1", "clips/real/[b] 1.mp4": b"22", "clips/fake/c.mp4": b"333", "other/real/d.mp4": b"4"}
LIST = b"path,label\nreal/a.mp4,real\nfake/c.mp4,fake\n"
REPOSITORIES = {
    "someone/faces": VIDEOS | {"clips/list.csv": LIST, "README.md": b"# Faces"},
    "someone/listed": {"list.csv": LIST, "real/a.mp4": b"1", "fake/c.mp4": b"2"},
    "someone/gated": hub_server.GATED,
    "someone/broken": hub_server.BROKEN,
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of the test's own; nothing of an earlier test is remembered."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    hub.fetch.cache_clear()
    return tmp_path / "cache"


@contextlib.contextmanager
def online(monkeypatch, repositories=REPOSITORIES, tags=("v1",)):
    from huggingface_hub import constants

    with hub_server.serving(repositories, tags) as (server, address), monkeypatch.context() as patched:
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, address)
        patched.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        patched.setattr(constants, "ENDPOINT", address)
        yield server


def offline(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody answers there
    hub.fetch.cache_clear()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("hf://datasets/kontur-ai/rtfs-10k", ("kontur-ai/rtfs-10k", None, "")),
        ("hf://datasets/a/b/", ("a/b", None, "")),
        ("hf://datasets/a/b@v1.0", ("a/b", "v1.0", "")),
        ("hf://datasets/a/b@refs/pr/3/video/x", ("a/b", "refs/pr/3", "video/x")),
        ("hf://datasets/a/b@a%2Fbranch/video", ("a/b", "a/branch", "video")),
        ("hf://datasets/a/b/v@1/list.csv", ("a/b", None, "v@1/list.csv")),
    ],
)
def test_an_address_has_these_parts(text, parts):
    address = hub.parse(text)
    assert (address.repository, address.revision, address.path) == parts and address.text == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hf://datasets/alone", "hf://datasets/OWNER/NAME"),
        ("hf://datasets/", "hf://datasets/OWNER/NAME"),
        ("hf://", "hf://datasets/OWNER/NAME"),
        ("hf://a/b", "of a model, not of a data set"),
        ("hf://spaces/a/b", "of a space, not of a data set"),
        ("hf://datasets/a/b@", "Empty revision"),
        ("hf://datasets/a/b//video", "empty segments"),
        ("hf://datasets/a/b/../c", "no . or .."),
        ("hf://datasets/a/b/video/.", "no . or .."),
        ("hf://datasets/a b/c", "Repo id"),
        (Path("hf://datasets/a/b"), "no address of the hub"),
        ("hf:/datasets/a/b", "no address of the hub"),
        ("https://huggingface.co/datasets/a/b/tree/main/video", "write it as hf://datasets/a/b@main/video"),
        ("https://zenodo.org/record/1188976", "no address of the hub"),
        ("s3://bucket/videos", "no address of the hub"),
    ],
)
def test_what_is_no_address_of_a_data_set_is_refused_in_one_line_before_any_work(tmp_path, capsys, text, said):
    assert hub.is_address(text)
    with pytest.raises(UserError) as caught:
        hub.parse(text)
    assert said in str(caught.value) and str(text) in str(caught.value) and "\n" not in str(caught.value)
    run = tmp_path / "run"
    assert run_main("prepare", f"--config=configs/folder.py:{text}", f"--workdir={run}") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: data.sources.folder.root='{text}'") and said in line
    assert not run.exists()


@pytest.mark.parametrize("path", ["/data/videos", "videos", "C:/videos", "list.csv", "a:b/c", "runs/hf/x", ""])
def test_a_path_is_no_address_and_stays_as_it_is(path):
    assert not hub.is_address(path) and hub.local(path) == path


def test_what_is_drawn_is_not_drawn_into_the_hub(tmp_path, capsys):
    arguments = ("--config=configs/synthetic.py", "--config.data.sources.synthetic.root=hf://datasets/someone/faces")
    assert run_main("prepare", *arguments, f"--workdir={tmp_path / 'run'}") == 2
    assert "needs a folder on this machine" in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_only_the_part_that_is_named_is_downloaded_and_only_once(monkeypatch, capsys, cache):
    with online(monkeypatch) as server:
        folder = hub.local("hf://datasets/someone/faces/clips")
        assert hub_server.tree(Path(folder)) == {
            **{name.removeprefix("clips/"): data for name, data in VIDEOS.items() if name.startswith("clips/")},
            "list.csv": LIST,
        }
        assert len(server.sent) == 4 and Path(folder).is_relative_to(cache)
        assert f"hf://datasets/someone/faces/clips: commit {COMMIT}, in {folder}" in capsys.readouterr().err
        hub.fetch.cache_clear()  # as another run
        assert hub.local("hf://datasets/someone/faces@v1/clips") == folder and len(server.sent) == 4
        whole = hub.local("hf://datasets/someone/faces")
        assert sorted(server.sent[4:]) == ["README.md", "other/real/d.mp4"]
        assert hub_server.tree(Path(whole)) == REPOSITORIES["someone/faces"]
    offline(monkeypatch)
    assert hub.local("hf://datasets/someone/faces/clips") == folder


def test_a_source_on_the_hub_lists_what_its_copy_on_the_disk_would(tmp_path, monkeypatch):
    for name, content in VIDEOS.items():
        path = tmp_path / "copy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with online(monkeypatch):
        source = Source("faces", "folder", "hf://datasets/someone/faces/clips")
        videos = source.list_videos()
        root = source.folder()
    copied = list_videos("folder", tmp_path / "copy/clips")
    assert [(v.video, v.label, v.track_key) for v in videos] == [(v.video, v.label, v.track_key) for v in copied]
    assert [os.path.relpath(v.path, root) for v in videos] == [
        os.path.relpath(v.path, tmp_path / "copy/clips") for v in copied
    ]
    assert all(Path(v.path).is_file() for v in videos)
    assert "hf:" not in json.dumps(source.parameters())


@pytest.mark.parametrize(("root", "count"), [("someone/faces/clips/list.csv", 4), ("someone/listed/list.csv", 3)])
def test_a_csv_of_the_hub_brings_its_folder(monkeypatch, root, count):
    with online(monkeypatch) as server:
        videos = list_videos("folder", hub.local(f"hf://datasets/{root}"))
    assert [Path(v.path).is_file() for v in videos] == [True, True] and len(server.sent) == count


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (
            "someone/gated",
            "accept the conditions at https://huggingface.co/datasets/someone/gated, then `hf auth login`",
        ),
        ("someone/nothing", "no data set someone/nothing on the hub, or a private one"),
        ("someone/faces@v2", "no revision 'v2'"),
        ("someone/broken", "the hub cannot be reached"),
        ("someone/faces/nothing", "'nothing' is no folder or CSV file of commit"),
        ("someone/faces/clips/real/a.mp4", "is no folder or CSV file of commit"),
        ("someone/faces/CLIPS", "is no folder or CSV file of commit"),
    ],
)
def test_what_the_hub_does_not_give_is_one_line_that_says_what_to_do(monkeypatch, address, said):
    with online(monkeypatch), pytest.raises(UserError) as caught:
        hub.local(f"hf://datasets/{address}")
    assert said in str(caught.value) and str(caught.value).startswith(f"hf://datasets/{address}: ")
    assert "\n" not in str(caught.value)


def test_without_a_network_and_with_half_of_it_in_the_cache(monkeypatch):
    with online(monkeypatch):
        hub.local("hf://datasets/someone/faces/clips")
    offline(monkeypatch)
    for address in ("someone/faces", "someone/faces/other", "someone/listed"):
        with pytest.raises(UserError, match="the hub cannot be reached, and its cache has not all of it") as caught:
            hub.local(f"hf://datasets/{address}")
        assert "\n" not in str(caught.value)


def test_a_download_that_breaks_off_is_resumed_with_the_files_that_lack(monkeypatch):
    files = {f"real/{i}.mp4": b"%d" % i for i in range(6)}
    with online(monkeypatch, {"someone/long": files}) as server:
        answer = server.answer

        def answer_but_one(path):  # as the hub does where it lists a data set for everyone and gives it to some
            return (403, {"X-Error-Code": "GatedRepo"}, b"") if path.endswith("5.mp4") else answer(path)

        server.answer = answer_but_one
        with pytest.raises(UserError, match="accept the conditions at .*, then `hf auth login`") as caught:
            hub.local("hf://datasets/someone/long")
        assert "\n" not in str(caught.value)
        server.answer = answer
        assert hub_server.tree(Path(hub.local("hf://datasets/someone/long"))) == files
        assert sorted(server.sent) == sorted(files)  # none of them twice


def test_a_full_disk_and_a_missing_package_say_so(monkeypatch):
    import huggingface_hub

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", "/cache/blob")

    with monkeypatch.context() as patched:
        patched.setattr(huggingface_hub, "snapshot_download", full)
        with pytest.raises(UserError, match=r"No space left on device \(/cache/blob\); HF_HOME moves the cache"):
            hub.local("hf://datasets/someone/faces")
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "huggingface_hub", None)
        with pytest.raises(UserError, match="needs the package 'huggingface_hub'"):
            hub.parse("hf://datasets/someone/faces")


def test_records_of_a_data_set_on_the_hub_are_those_of_its_copy(tmp_path, monkeypatch, capsys):
    writer.write(tmp_path / "crops", iter(crop_folders.records(windows=(0,))))

    def prepare(root, workdir) -> int:
        return run_main(
            "prepare", f"--config=configs/crop_tree.py:{root}", f"--workdir={workdir}", "--config.data.workers=1",
            f"--config.data.num_frames={crop_folders.FRAMES}",
            "--config.data.sources.crop_tree.splits=('train','test')",
        )  # fmt: skip

    address = "hf://datasets/someone/crops@v1"
    with online(monkeypatch, {"someone/crops": hub_server.tree(tmp_path / "crops")}):
        assert prepare(address, tmp_path / "hub") == 0
    assert prepare(tmp_path / "crops", tmp_path / "copy") == 0
    made, copied = (
        {name: (tmp_path / run / "records/crop_tree" / name).read_bytes() for name in ("clips.jsonl", "prepare.json")}
        for run in ("hub", "copy")
    )
    assert made == copied and made["clips.jsonl"].count(b"\n") > 4
    # Finished records ask for the hub no more, and any other place of the same videos will do.
    offline(monkeypatch)
    capsys.readouterr()
    for root in (address, "hf://datasets/elsewhere/crops", tmp_path / "crops"):
        assert prepare(root, tmp_path / "hub") == 0
        assert "is prepared: nothing to do" in capsys.readouterr().err


def test_verify_looks_at_what_the_hub_holds(tmp_path, monkeypatch, capsys):
    with online(monkeypatch):
        root = "--config=configs/folder.py:hf://datasets/someone/faces/clips"
        assert run_main("prepare", "--verify", root, f"--workdir={tmp_path / 'run'}") == 0
    assert "test/real/unknown" in capsys.readouterr().out and not (tmp_path / "run").exists()


def test_sources_that_lack_a_root_are_refused_before_anything_is_downloaded(tmp_path, monkeypatch, capsys):
    with online(monkeypatch) as server:
        arguments = ("--config=configs/protocols.py:cross_dataset:ffpp", f"--workdir={tmp_path / 'run'}")
        root = "--config.data.sources.ffpp.root=hf://datasets/someone/faces"
        assert run_main("prepare", *arguments, root) == 2
        assert ".root is empty" in capsys.readouterr().err and server.sent == []


def test_the_real_command_without_a_network_is_one_error_line(tmp_path):
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")}
    command = [sys.executable, "main.py", "prepare", "--config=configs/folder.py:hf://datasets/kontur-ai/rtfs-10k"]
    command += [f"--workdir={tmp_path / 'run'}"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert len(errors) == 1 and errors[0].startswith("error: hf://datasets/kontur-ai/rtfs-10k: not downloaded: HF_HUB")
    assert not list((tmp_path / "run").glob("*"))
