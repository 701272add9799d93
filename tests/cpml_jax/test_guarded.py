"""What ends a command: a mistake, a disk, a reader that went away, an interruption, a bug."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cpml_jax import disk, files
from cpml_jax.activity import doing

ROOT = Path(__file__).resolve().parents[2]
CODE = """
import sys
from absl import flags
from cpml_jax import cli, options
from cpml_jax.activity import doing
from cpml_jax.errors import UserError
def main(argv):
    {body}
    return 0
cli.main = main
flags.FLAGS(["main.py", *sys.argv[1:]])
sys.exit(cli.guarded(["main.py", "predict"]))
"""


def run(body: str, *flags: str, to: str = "") -> subprocess.CompletedProcess:
    """A command that does `body`, its standard output led to a file."""
    with open(to or os.devnull, "w") as out:
        return subprocess.run(
            [sys.executable, "-c", CODE.format(body=body), *flags], cwd=ROOT, stdout=out, stderr=subprocess.PIPE,
            text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="/dev/full is Linux's")
@pytest.mark.parametrize("body", ["print('answer', flush=True)", "print('answer')", "sys.stdout.write('a' * 99999)"])
def test_a_full_disk_on_standard_output_is_one_line(body):
    done = run(body, to="/dev/full")
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2 and line.startswith("error: standard output, or a file of the run: cannot be written")
    assert "No space left on device" in line and "make room" in line


def test_a_reader_that_went_away_is_one_line():
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(body="print('a', flush=True)")], cwd=ROOT, stdout=writing,
        stderr=subprocess.PIPE, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    os.close(writing)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2 and "reader has ended" in line


TURNED = """
    try: signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt: raise {error}("no handler for this checkpoint") from None
"""
DROPPED = """
    class Held: pass
    def going(_):
        signal.raise_signal(signal.SIGINT)
        return None
    held = Held()
    callback = weakref.ref(held, going)
    del held
    begun = time.monotonic()
    try: time.sleep(60)
    finally: time.monotonic() - begun < 60 or print("it slept to the end", file=sys.stderr)
"""


@pytest.mark.parametrize("body", [TURNED.format(error="UserError"), TURNED.format(error="ValueError"), DROPPED])
def test_an_interruption_that_a_library_swallows_ends_the_command(body):
    before = "import signal, sys, time, weakref; from cpml_jax import interruption"
    before += "; signal.signal(signal.SIGINT, signal.default_int_handler)"  # which a background job ignores
    done = run(f"{before}; interruption.watch()" + body)
    assert done.returncode == 130 and done.stderr == "interrupted; the same command resumes from the last checkpoint\n"


def test_a_bug_is_a_traceback_after_one_line():
    body = "secret = 7\n    with doing('training in runs/a'): raise KeyError('x')"
    done = run(body)
    first, second, *_ = done.stderr.splitlines()
    assert done.returncode == 1 and second.startswith("Traceback") and done.stderr.strip().endswith("KeyError: 'x'")
    assert first.startswith("error: a bug of this program, while training in runs/a: KeyError. Please report it in")
    assert "--debug" in first and "secret = 7" not in done.stderr.replace("    secret = 7", "")
    more = run(body, "--debug").stderr
    assert "secret = 7" in more and '"numpy": ' in more and "--debug" not in more.splitlines()[0]


def test_debug_shows_where_a_mistake_was_noticed():
    assert run("raise UserError('no')").stderr == "error: no\n"
    more = run("raise UserError('no')", "--debug").stderr
    assert more.startswith("Traceback") and more.endswith("error: no\n")


def test_the_innermost_activity_counts():
    with pytest.raises(ValueError) as error, doing("outer"), doing("inner"):
        raise ValueError
    from cpml_jax import activity

    assert activity.of(error.value) == "inner" and activity.of(ValueError()) == ""


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG])
def test_a_full_disk_names_the_file(tmp_path, monkeypatch, number):
    def full(_):
        raise OSError(number, os.strerror(number))

    (tmp_path / "a.json").write_text("before")
    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError) as error:
        files.write_whole(tmp_path / "a.json", "after")
    said = disk.refusal(error.value)
    assert said.startswith(f"{tmp_path / 'a.json'}: cannot be written ({os.strerror(number)})")
    assert (tmp_path / "a.json").read_text() == "before" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "error", [KeyError("No space left on device"), OSError(errno.EIO, "x"), OSError(errno.EACCES, "x"), ValueError("x")]
)
def test_other_errors_are_not_the_disks(error):
    assert disk.refusal(error) is None
