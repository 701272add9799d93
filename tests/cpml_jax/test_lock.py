"""One process at a time: who is refused, who waits, and what a dead process leaves."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cpml_jax import lock
from cpml_jax.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
HOLD = """
import sys, time
from cpml_jax import lock
with lock.held(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def other(tmp_path):
    """Another process that holds the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def taken(folder) -> bool:
    try:
        with lock.held(folder):
            return True
    except UserError:
        return False


def left(folder, **changes) -> Path:
    """A lock file that a process on another machine wrote."""
    path = folder / lock.NAME
    path.write_text(json.dumps({"host": "elsewhere", "boot": "b", "pid": 1, "command": "x", "since": "t"} | changes))
    return path


def test_the_second_is_told_who_holds_it_and_the_dead_hold_nothing(tmp_path, other):
    with pytest.raises(UserError) as raised, lock.held(tmp_path):
        pytest.fail("two at once")
    said = str(raised.value)
    assert f"{tmp_path}: in use by process {other.pid} on {socket.gethostname()} since " in said and "--wait" in said
    assert "\n" not in said
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert (tmp_path / lock.NAME).exists() and taken(tmp_path)
    assert not list(tmp_path.iterdir()), "the folder is as it was"


def test_it_waits_and_says_so_once(tmp_path, other, monkeypatch, capsys):
    monkeypatch.setattr(lock, "POLL", 0.01)
    threading.Timer(0.3, other.kill).start()
    with lock.held(tmp_path, wait=True):
        assert other.wait() == -signal.SIGKILL
    (line,) = capsys.readouterr().err.splitlines()
    assert f"process {other.pid}" in line and line.endswith("; waiting")


def test_many_at_once_are_one_after_another(tmp_path, monkeypatch):
    """Threads open the file each for itself, as processes do; releasing removes it under those that wait."""
    monkeypatch.setattr(lock, "POLL", 0.001)
    inside, most, done = [], [], []

    def enter():
        for _ in range(20):
            with lock.held(tmp_path, wait=True):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.0005)
                inside.pop()
        done.append(1)

    threads = [threading.Thread(target=enter) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 6 and set(most) == {1} and not list(tmp_path.iterdir())


@pytest.mark.parametrize("age, free", [(0, False), (lock.DEAD - 30, False), (lock.DEAD + 30, True)])
def test_another_machine_holds_it_while_it_gives_signs_of_life(tmp_path, age, free):
    """As on a network file system whose locks each machine keeps for itself."""
    path = left(tmp_path)
    moment = time.time() - age
    os.utime(path, (moment, moment))
    assert taken(tmp_path) == free
    if not free:
        assert path.stat().st_mtime == pytest.approx(moment, abs=1), "asking is no sign of life"


def test_a_holder_gives_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "BEAT", 0.01)
    with lock.held(tmp_path):
        os.utime(tmp_path / lock.NAME, (0, 0))
        while (tmp_path / lock.NAME).stat().st_mtime == 0:
            time.sleep(0.005)


@pytest.mark.parametrize("changes", [{"boot": lock._boot()}, {"host": socket.gethostname()}])
def test_a_killed_container_of_this_machine_holds_nothing(tmp_path, changes):
    """The system's lock is this machine's, whatever a container calls it."""
    left(tmp_path, **changes)
    assert taken(tmp_path)


def test_without_the_systems_lock_the_process_number_decides(tmp_path, other, monkeypatch):
    monkeypatch.setattr(lock, "fcntl", None)
    assert not taken(tmp_path)
    other.kill()
    other.wait()
    assert taken(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "1"}', "[" * 50_000, json.dumps({"pid": 10**30}), "\0" * 99])
def test_a_lock_that_says_nothing_holds_nothing(tmp_path, text):
    (tmp_path / lock.NAME).write_text(text)
    os.utime(tmp_path / lock.NAME, (0, 0))
    assert taken(tmp_path)


def test_a_link_in_somebody_elses_folder_leads_nowhere(tmp_path):
    folder, mine = tmp_path / "folder", tmp_path / "mine"
    folder.mkdir()
    mine.write_text("mine")
    (folder / lock.NAME).symlink_to(mine)
    with pytest.raises(UserError, match="cannot be written to") as raised, lock.held(folder):
        pytest.fail("followed")
    assert mine.read_text() == "mine" and "\n" not in str(raised.value)


def test_the_command_says_it_in_one_line(tmp_path, other):
    """train in a folder that another process holds: nothing is begun. compare and predict would only read."""
    done = subprocess.run(
        [sys.executable, "main.py", "evaluate", "--config=configs/synthetic.py", f"--workdir={tmp_path}"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 2 and len(lines) == 1 and f"error: {tmp_path}: in use by process {other.pid}" in lines[0]
    assert [path.name for path in tmp_path.iterdir()] == [lock.NAME]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="drops root's rights by Linux's capabilities")
def test_a_read_only_folder_is_one_line_before_any_work(tmp_path):
    from tests.data_prep.test_disk import ordinary_rights

    tmp_path.chmod(0o555)
    with ordinary_rights(), pytest.raises(UserError) as raised, lock.held(tmp_path):
        pytest.fail("written")
    tmp_path.chmod(0o755)
    assert str(raised.value).startswith(f"{tmp_path}: cannot be written to (Permission denied)")
