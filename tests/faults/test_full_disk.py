"""A disk that fills in the middle of a stage: one line, status 2, nothing lost, and the same command goes on."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.world import QUICK, STAGES, World, digests

pytestmark = pytest.mark.faults
FILLED = 1 if QUICK else 3  # times a stage
WRITING = ("forge", "prepare", "train", "evaluate", "report", "sweep", "answers")
PAGE = os.sysconf("SC_PAGE_SIZE")


def bytes_of(folder: Path) -> int:
    """On a tmpfs, which gives whole pages."""
    return sum(-(-path.stat().st_size // PAGE) * PAGE for path in folder.rglob("*") if path.is_file())


def mount(*arguments: str) -> bool:
    return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[bool]:
    """A file system of `size` bytes at a folder; False where that is not permitted."""
    mounted = shutil.which("mount") is not None and mount("-t", "tmpfs", "-o", f"size={size}", "none", str(folder))
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("stage", WRITING)
def test_a_disk_that_fills(world: World, stage: str):
    after = world.root / "before" / (*STAGES, "end")[STAGES.index(stage) + 1]
    before = bytes_of(world.root / "before" / stage)
    growth = bytes_of(after) - before
    beside = 0 if stage == "answers" else 4 * PAGE  # for the lock; six answers are hardly more
    rng, filled = random.Random(stage), 0
    for _ in range(FILLED):
        size = before + beside + int(growth * rng.uniform(0.05, 0.8))
        with small_disk(world.run, 1 << 30) as mounted:
            world.back_to(stage)
            if mounted:
                assert mount("-o", f"remount,size={size}", str(world.run))
                done = world.go(stage)
            else:
                largest = max(path.stat().st_size for path in after.rglob("*") if path.is_file())
                done = world.go(stage, file_size=int(largest * rng.uniform(0.05, 0.9)))
            said = f"{stage}, {size} bytes: status {done.status}: {done.stderr[-3000:]}"
            if done.status != 0:
                filled += 1
                assert done.status == 2 and len(done.errors) == 1, said
                assert "No space left on device" in done.errors[0] or "File too large" in done.errors[0], said
                board = stage in ("train", "sweep")  # TensorBoard's thread: docs/reliability.md
                assert "Traceback" not in done.stderr or board, said
                lost = world.before[stage].keys() - digests(world.run).keys()
                lost = {name for name in lost if not name.endswith(".sha256")}  # of a folder that is worked on
                assert not lost, f"{said}; lost: {lost}"
            if mounted:
                assert mount("-o", f"remount,size={1 << 30}", str(world.run))
            again = world.go(stage)
            assert again.status == 0, f"{said}; resumed: {again.stderr[-2000:]}"
            assert not world.differing(stage, again), f"{said}; other {world.differing(stage, again)}"
    print(f"{stage}: {filled} of {FILLED} filled")
    assert filled, "no disk was too small"
