"""A clock that goes back: every file is two days from the future, and no stage is fooled."""

from __future__ import annotations

import os
import signal
import time

import pytest

from faults.world import World, digests

pytestmark = pytest.mark.faults
AHEAD = 2 * 86400.0  # s


def from_the_future(world: World) -> None:
    for path in (world.run, *world.run.rglob("*")):
        os.utime(path, (time.time() + AHEAD,) * 2)


def times(world: World) -> dict[str, int]:
    return {
        str(path.relative_to(world.run)): path.stat().st_mtime_ns for path in world.run.rglob("*") if path.is_file()
    }


def whole_run(world: World, *more: str):
    _, *arguments = world.arguments("forge")
    done = world.warm.run(*arguments, *more)
    assert done.status == 0, done.stderr
    return done


def test_what_is_finished_is_not_made_again(world):
    world.back_to("end")
    from_the_future(world)
    before = times(world)
    done = whole_run(world)
    made = [name for name, at in times(world).items() if before.get(name) != at]
    # Started again, training writes what lies beside its checkpoints, with the same content, and the log's end.
    allowed = ("checkpoints/", "metrics.jsonl", "tensorboard/")
    assert not [name for name in made if not name.startswith(allowed)], made
    assert "nothing to do" in done.stderr and world.differing("answers", done) == []


def test_what_is_older_than_it_looks_is_made_again(world):
    """Another evaluation, by a clock that is two days behind the old page's."""
    world.back_to("end")
    from_the_future(world)
    page = (world.run / "report.html").read_bytes()
    done = whole_run(world, "--config.eval.doubt_level=0.2")
    from cpml_jax.report import page as pages

    assert "to look at" in done.stderr and (world.run / "report.html").read_bytes() != page
    assert pages.is_current(world.run)


@pytest.mark.parametrize("stage", ["forge", "prepare", "train"])
def test_a_killed_stage_goes_on(world, stage):
    world.back_to(stage)
    world.go(stage, signal=signal.SIGKILL, event=int(0.7 * len(world.events[stage])))
    from_the_future(world)
    done = world.go(stage)
    assert done.status == 0 and not world.differing(stage, done), done.stderr


def test_a_lock_from_the_future_of_a_dead_process_is_free(world):
    world.back_to("evaluate")
    world.go("evaluate", signal=signal.SIGKILL, event=int(0.5 * len(world.events["evaluate"])))
    assert (world.run / ".lock").exists()
    from_the_future(world)
    done = world.go("evaluate")
    assert done.status == 0 and digests(world.run) == world.after["evaluate"], done.stderr
