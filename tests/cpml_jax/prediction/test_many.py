"""predict --out: the answers of predict, whatever ends a process, and never those of two models."""

import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import many_case
import published
import pytest
from many_case import answer, detector, write
from prediction_case import PLAIN, FakeScorer

from cpml_jax import lock, predict
from cpml_jax.errors import UserError
from cpml_jax.prediction import answers_file

KEYS = ("file", "model", "settings")


def lines(out):
    """The answers of a file, by video, all as the published schema has them."""
    found = [json.loads(line) for line in out.read_text().splitlines()]
    for line in found:
        published.check("predict", line)
    by_video = {Path(line["video"]).stem: line for line in found}
    assert len(by_video) == len(found)
    return by_video


def alone(folder, **changes):
    """What predict says of the same folder in one process."""
    out = io.StringIO()
    predict.predict(detector(**changes), [str(folder)], out=out)
    return {Path(line["video"]).stem: line for line in map(json.loads, out.getvalue().splitlines())}


def plain(line):
    return {key: value for key, value in line.items() if key not in KEYS}


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "videos", one=1, two=2, many=11, none=0, broken="broken", odd="odd")


def test_answers_are_those_of_predict(folder, tmp_path, capsys):
    out = tmp_path / "answers.jsonl"
    assert answer(folder, out) == 1
    found = lines(out)
    assert {name: plain(line) for name, line in found.items()} == alone(folder)
    assert all(tuple(line)[-3:] == KEYS for line in found.values())
    status = os.stat(folder / "two.mp4")
    assert found["two"]["file"] == {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns}
    said = capsys.readouterr().err
    assert "6 videos: " in said and "3 error; 0 answered before; 6 answered in 0:00:0" in said and "videos/min" in said
    assert {line["model"] for line in found.values()} == {"sha256:0123456789abcdef"}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_reader_that_dies_costs_its_own_video_and_is_asked_again(tmp_path, workers):
    words = dict(a=2, b="killed", c="crashed", d=3, e="killed", f=1)
    folder, out = write(tmp_path / "videos", **words), tmp_path / "answers.jsonl"
    assert answer(folder, out, workers=workers) == 1
    found = lines(out)
    assert found["b"]["error"] == found["e"]["error"]
    assert "SIGKILL, perhaps for lack of memory" in found["b"]["error"] and "SIGSEGV" in found["c"]["error"]
    write(folder, b=2, c=2, e=2)
    assert [found[name]["file"] for name in "bce"] == [None] * 3
    before = out.read_bytes()
    assert answer(folder, out, workers=workers) == 0
    again = lines(out)
    assert {name: plain(line) for name, line in again.items()} == alone(folder)
    assert [again[name] for name in "adf"] == [found[name] for name in "adf"] and out.read_bytes() != before


def test_an_interruption_that_only_a_reader_has_heard_of_ends_the_command(tmp_path):
    """JAX's callback at a garbage collection drops a KeyboardInterrupt."""
    folder, out = write(tmp_path / "videos", a=1, b="interrupted", c=1), tmp_path / "answers.jsonl"
    with pytest.raises(KeyboardInterrupt):
        answer(folder, out, workers=1)
    assert lines(out).keys() == {"a"}


def test_what_is_answered_is_not_asked_again_unless_the_file_has_changed(folder, tmp_path, monkeypatch):
    out = tmp_path / "answers.jsonl"
    answer(folder, out)
    before = out.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(many_case.many, "Reader", None)  # no process
        assert answer(folder, out) == 1
    assert out.read_bytes() == before
    write(folder, two=4, new=1)
    os.utime(folder / "one.mp4", ns=(1, 1))
    answer(folder, out)
    after = lines(out)
    assert {name: plain(line) for name, line in after.items()} == alone(folder)
    kept = [line for line in before.splitlines(keepends=True) if not any(n in line for n in (b"/two.mp4", b"/one.mp4"))]
    assert out.read_bytes().startswith(b"".join(kept)) and len(after) == 7


def test_another_model_or_other_settings_are_refused(folder, tmp_path):
    out = tmp_path / "answers.jsonl"
    answer(folder, out)
    before = out.read_bytes()

    class Other(FakeScorer):
        parameters_sha256 = "f" * 64

    with pytest.raises(UserError, match="line 1 was answered by another model .sha256:0123456789abcdef, now sha256:f"):
        answer(folder, out, scorer=Other(wave=False))
    moved = dataclasses.replace(PLAIN, threshold=dataclasses.replace(PLAIN.threshold, margin=0.25))
    with pytest.raises(UserError, match="line 1 was answered by other settings"):
        answer(folder, out, verdict=moved)
    assert out.read_bytes() == before


@pytest.mark.parametrize("cut", [1, 7, 30, 250])
def test_half_a_line_is_dropped(folder, tmp_path, cut):
    out = tmp_path / "answers.jsonl"
    answer(folder, out)
    whole = lines(out)
    out.write_bytes(out.read_bytes()[:-cut])
    answer(folder, out)
    assert lines(out) == whole


@pytest.mark.parametrize(
    "content",
    [
        b"my notes", b"my notes\n", b"\0" * 4000, b'{"video": "a", "error": "of predict alone"}\n', b'{"video": [1]}\n',
        b'{"video": "a", "label": "real", "file": null, "model": "m", "settings": "s"}\nnotes',
        b'{"video": ' + b"[" * 100_000 + b"\n",
    ],
)  # fmt: skip
def test_what_is_no_file_of_answers_stays_as_it_is(folder, tmp_path, content):
    out = tmp_path / "answers.jsonl"
    out.write_bytes(content)
    with pytest.raises(UserError, match="give another --out") as raised:
        answer(folder, out)
    assert out.read_bytes() == content and "\n" not in str(raised.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.jsonl", "videos"]


def test_a_place_that_is_no_file_is_refused(folder, tmp_path):
    for out, said in ((tmp_path, "a folder; give the name of a file"), (tmp_path / "no/a.jsonl", "there is no folder")):
        with pytest.raises(UserError, match=said):
            answer(folder, out)


def test_two_processes_do_not_write_one_file_and_may_write_two(folder, tmp_path):
    out = tmp_path / "answers.jsonl"
    said = r"answers.jsonl: in use by process .*; --wait waits for it, or name another file"
    with lock.held(tmp_path, name=out.name):
        with pytest.raises(UserError, match=said):
            answer(folder, out)
        answer(folder, tmp_path / "others.jsonl")
    with lock.held(tmp_path):  # a run's work folder
        answer(folder, out)
    assert lines(out).keys() == lines(tmp_path / "others.jsonl").keys()


def test_each_path_is_answered_once_and_one_that_is_not_there_is_asked_again(tmp_path):
    folder, out = write(tmp_path / "videos", a=1), tmp_path / "answers.jsonl"
    gone = str(folder / "gone.mp4")

    def ask():
        with answers_file.opened(out) as file:
            return many_case.many.predict(detector(), [str(folder), str(folder / "a.mp4"), gone, gone], file)

    assert ask() == 1
    assert lines(out)["gone"]["error"] == "no such file or folder" and len(lines(out)) == 2
    write(folder, gone=1)
    assert ask() == 0 and "error" not in lines(out)["gone"]


def start(folder, out, *more):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, many_case.__file__, str(folder), str(out), *more],
        env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def processes_of(session):
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_ended_in_the_middle_it_leaves_no_process_and_goes_on(tmp_path, number, status):
    folder = write(tmp_path / "videos", **{f"v{i:02}": 1 + i % 3 for i in range(24)})
    out = tmp_path / "answers.jsonl"
    process = start(folder, out, "--slow")
    until = time.monotonic() + 60
    while (out.read_bytes() if out.exists() else b"").count(b"\n") < 3 and time.monotonic() < until:
        time.sleep(0.01)
    # A terminal's Ctrl-C goes to all of them.
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == status and "Traceback" not in said
    while (left := processes_of(process.pid)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not left
    kept = out.read_bytes()
    kept = kept[: kept.rfind(b"\n") + 1]
    assert 3 <= kept.count(b"\n") < 24
    assert answer(folder, out) == 0
    assert out.read_bytes().startswith(kept)
    assert {name: plain(line) for name, line in lines(out).items()} == alone(folder)
