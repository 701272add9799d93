"""A disk that is full or may not be written to: one line that says so through the real command, and nothing is lost."""

import contextlib
import ctypes
import errno
import os
import sys

import pytest
from command import run_main
from odd.encoder import draw, encode

from cpml_jax import files
from cpml_jax.data.records import RecordSet
from cpml_jax.disk import writing

CLIP = 32
FILES = 2


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """real/ with two videos, and links that lead in circles."""
    root = tmp_path_factory.mktemp("videos")
    (root / "real/deeper").mkdir(parents=True)
    for number in range(FILES):
        encode(root / f"real/{number}.mp4", draw(CLIP, target=number))
    (root / "real/deeper/up").symlink_to(root)
    (root / "real/self").symlink_to(root / "real/self")
    return root


def command(videos, records, workdir) -> int:
    return run_main(
        "prepare", f"--config=configs/folder.py:{videos}", f"--workdir={workdir}", f"--config.data.records={records}",
        f"--config.data.num_frames={CLIP}", "--config.data.workers=1",
    )  # fmt: skip


def the_error(capsys) -> str:
    text = capsys.readouterr().err
    errors = [line for line in text.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "Traceback" not in text, text
    return errors[0]


@contextlib.contextmanager
def ordinary_rights():
    """Root may write anywhere: its right to is put aside meanwhile (Linux's capabilities 1 and 2 of a thread)."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, before = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, before) == 0
    changed = (ctypes.c_uint32 * 6)(*before)
    changed[0] &= ~0b110  # effective
    assert libc.capset(header, changed) == 0
    try:
        yield
    finally:
        assert libc.capset(header, before) == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="drops root's rights by Linux's capabilities")
def test_a_folder_that_may_not_be_written_to_is_one_line(videos, tmp_path, capsys):
    records = tmp_path / "records"
    records.mkdir(mode=0o555)
    with ordinary_rights():
        status = command(videos, records, tmp_path / "work")
    assert status == 2 and list(records.iterdir()) == []
    said = the_error(capsys)
    assert str(records) in said and "Permission denied" in said and "another folder" in said


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="drops root's rights by Linux's capabilities")
def test_a_video_that_may_not_be_read_is_listed(videos, tmp_path):
    encode(tmp_path / "secret.mp4", draw(2))
    (tmp_path / "secret.mp4").chmod(0)
    from cpml_jax.errors import UserError
    from data_prep.video.reader import VideoReader

    with ordinary_rights(), pytest.raises(UserError, match="no permission to read"):
        VideoReader(tmp_path / "secret.mp4")


@pytest.mark.parametrize("inside", ["", "deeper"])
def test_an_output_path_that_is_a_file_is_one_line(videos, tmp_path, capsys, inside):
    (tmp_path / "file").write_text("mine")
    assert command(videos, tmp_path / "file" / inside, tmp_path / "work") == 2
    said = the_error(capsys)
    assert str(tmp_path / "file") in said and "is a file" in said
    assert (tmp_path / "file").read_text() == "mine"


def test_a_disk_that_fills_up_loses_no_finished_video(videos, tmp_path, capsys, monkeypatch):
    """Full at the second video, then in packing; then there is room, and only what is missing is made."""
    records, really, written = tmp_path / "records", os.fsync, []

    def full_after_the_first_video(descriptor):
        written.append(descriptor)
        if len(written) > 2:  # the parameters and one video
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        really(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full_after_the_first_video)
        assert command(videos, records, tmp_path / "work") == 2
    said = the_error(capsys)
    assert "No space left on device" in said and "make room" in said and str(records) in said
    made = list((records / "folder/work").glob("*.npz"))
    assert len(made) == 1 and not list((records / "folder/work").glob(".*"))
    stamp = made[0].stat().st_mtime_ns

    with monkeypatch.context() as patch:
        patch.setattr("data_prep.records.shards.write", no_room_for_array_record)
        assert command(videos, records, tmp_path / "work") == 2
    assert "No space left on device" in the_error(capsys)
    assert made[0].stat().st_mtime_ns == stamp

    assert command(videos, records, tmp_path / "work") == 0
    record_set = RecordSet(records / "folder")
    assert {row["video"] for row in record_set.rows} == {f"{number}.mp4" for number in range(FILES)}
    # The link that leads to itself is a file that cannot be opened; the folder that leads up is not followed.
    assert {row["video"]: row["reason"] for row in record_set.excluded} == {"self": "Too many levels of symbolic links"}


def no_room_for_array_record(*_, **__):
    raise RuntimeError('Failed to finalize writing of split "test": write() failed: No space left on device; writing')


def test_other_errors_are_not_called_a_full_disk():
    for error in (RuntimeError("something else"), FileNotFoundError(errno.ENOENT, "No such file or directory")):
        with pytest.raises(type(error)), writing("records"):
            raise error
