"""The benchmark on disk: its layout, resumed, repeated and refused."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from drawn import SMALL, contents, decode

from cpml_jax.errors import UserError
from data_prep.synthetic.forgery import METHODS
from data_prep.synthetic.generate import generate

REPOSITORY = Path(__file__).resolve().parents[3]


def test_layout_is_that_of_faceforensics(small):
    assert json.loads((small / "test.json").read_text()) == [["000", "001"]]
    for compression in ("raw", "c23"):
        for folder, names in [("original_sequences/youtube", ("000", "001"))] + [
            (f"manipulated_sequences/{method}", ("000_001", "001_000")) for method in METHODS
        ]:
            for name in names:
                assert decode(small / folder / compression / "videos" / f"{name}.mp4").shape == (12, 96, 96, 3)
                truth = np.load(small / "truth" / folder / f"{name}.npz")
                assert truth["box"].shape == (12, 4) and truth["landmarks"].shape == (12, 68, 2)
                assert truth["pulse"].shape == truth["heart_rate"].shape == (12,)
                np.testing.assert_allclose(truth["times_s"], np.arange(12) / 30, atol=1e-6)
    assert not list(small.rglob("*.part"))


def test_a_missing_file_is_made_again_and_nothing_else(small):
    before = contents(small)
    victim = small / "manipulated_sequences/Face2Face/c23/videos/001_000.mp4"
    victim.unlink()
    times = {path: path.stat().st_mtime_ns for path in small.rglob("*.mp4")}
    generate(str(small), **SMALL)
    assert contents(small) == before
    assert all(path.stat().st_mtime_ns == moment for path, moment in times.items())


def test_the_same_bytes_whatever_the_workers(small, tmp_path):
    generate(str(tmp_path), **SMALL | dict(workers=2))
    assert contents(tmp_path) == contents(small)


def test_killed_and_started_again(small, tmp_path):
    code = f"from data_prep.synthetic.generate import generate; generate({str(tmp_path)!r}, **{SMALL!r})"
    child = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY)
    while child.poll() is None and len(list(tmp_path.rglob("*.mp4"))) < 4:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    generate(str(tmp_path), **SMALL)
    assert contents(tmp_path) == contents(small)


def test_other_parameters_are_refused(small):
    with pytest.raises(UserError, match="other parameters.*seed"):
        generate(str(small), **SMALL | dict(seed=4))


@pytest.mark.parametrize(
    "change",
    [
        dict(style="c"),
        dict(identities={"test": 3}),
        dict(methods=("Nonsense",)),
        dict(compressions={"test": ("c99",)}),
        dict(compressions={}),
        dict(frames=1),
        dict(size=95),
    ],
)
def test_parameters_that_cannot_be_are_refused(change, tmp_path):
    with pytest.raises(UserError):
        generate(str(tmp_path / "new"), **SMALL | change)
    assert not (tmp_path / "new").exists()


def test_a_flipped_bit_is_named_and_the_file_made_anew(small):
    before = contents(small)
    victim = small / "manipulated_sequences/Face2Face/c23/videos/001_000.mp4"
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 4
    victim.write_bytes(data)
    with pytest.raises(UserError, match=f"{victim.name}: damaged since it was made; delete that file"):
        generate(str(small), **SMALL)
    victim.unlink()
    generate(str(small), **SMALL)
    assert contents(small) == before


STRUCK = """
import signal, sys
from drawn import SMALL
from data_prep.synthetic.generate import generate
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the tests run with nohup
    try:
        generate(sys.argv[1], **SMALL | dict(workers=2, frames=5000))
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.mark.parametrize("struck", [signal.SIGKILL, signal.SIGINT])
def test_no_process_is_left_and_none_complains(tmp_path, struck):
    """A terminal's Ctrl-C reaches all processes; a kill the first alone, and its workers were left for ever."""
    from faults.world import processes_of

    script = tmp_path / "struck.py"
    script.write_text(STRUCK)
    path = os.pathsep.join(map(str, (REPOSITORY, REPOSITORY / "tests")))
    process = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "drawn")], start_new_session=True, stderr=subprocess.PIPE,
        text=True, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    while len(list(tmp_path.rglob("raw/videos/*.part"))) < 2:  # both workers are at it
        assert process.poll() is None
        time.sleep(0.05)
    (os.killpg if struck == signal.SIGINT else os.kill)(process.pid, struck)
    said = process.communicate()[1]
    assert process.returncode == (130 if struck == signal.SIGINT else -signal.SIGKILL), said
    assert not processes_of(process.pid) and "Traceback" not in said, said
