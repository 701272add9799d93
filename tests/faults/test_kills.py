"""Struck at random moments and started again: the same bytes, the right status, no process left, no traceback."""

from __future__ import annotations

import bisect
import collections
import os
import random
import signal

import pytest

from faults.world import STAGES, World, processes_of

pytestmark = pytest.mark.faults
MOMENTS = int(os.environ.get("FAULTS_MOMENTS", "30"))  # of each signal, over all stages
SIGNALS = {"SIGKILL": -signal.SIGKILL, "SIGTERM": -signal.SIGTERM, "SIGINT": 130}
counted: collections.Counter[str] = collections.Counter()


def moment(times: list[float], rng: random.Random) -> dict[str, float]:
    """After which event, and how long: half of them by the events, half by the time that an undisturbed run took."""
    if rng.random() < 0.5:
        return {"event": rng.randrange(len(times) - 1), "after": 0.0}
    at = rng.uniform(0, times[-1])
    event = max(bisect.bisect_right(times, at, hi=len(times) - 1) - 1, 0)
    return {"event": event, "after": max(at - times[event], 0.0)}


def strike(world: World, stage: str, name: str, at: dict[str, float]) -> str:
    """What is wrong after a strike and a resume; "" if nothing."""
    world.back_to(stage)
    done = world.go(stage, signal=getattr(signal, name), group=name == "SIGINT", **at)
    wrong = []
    if left := processes_of(done.pid):
        wrong.append(f"processes {left} left")
    if done.status == 0:
        counted["after the end"] += 1
    elif done.status != SIGNALS[name]:
        wrong.append(f"status {done.status}: {done.stderr[-2000:]}")
    if "Traceback" in done.stderr or "Exception ignored" in done.stderr:
        wrong.append(f"a traceback: {done.stderr[-3000:]}")
    if stage == "predict":
        whole = done.stdout[: done.stdout.rfind("\n") + 1]
        if not world.answer[stage].startswith(whole):
            wrong.append("other answers before the strike")
    again = world.go(stage)
    if again.status != 0 or again.errors:
        wrong.append(f"resumed with status {again.status}: {again.stderr[-2000:]}")
    elif differ := world.differing(stage, again):
        wrong.append(f"resumed with other {', '.join(differ)}")
    if left_over := world.left_over():
        wrong.append(f"left over: {left_over}")
    counted[f"{stage} {name}"] += 1
    return f"{stage}, {name} at {at}: {'; '.join(wrong)}" if wrong else ""


@pytest.mark.parametrize("name", SIGNALS)
def test_a_strike_at_any_moment_changes_nothing(world, name):
    rng = random.Random(f"{name} 17")
    wrong = []
    for number in range(MOMENTS):
        stage = STAGES[number % len(STAGES)]
        if said := strike(world, stage, name, moment(world.events[stage], rng)):
            print(said, flush=True)
            wrong.append(said)
    print(f"{name}: {MOMENTS} moments, {len(wrong)} wrong; {dict(counted)}")
    assert not wrong, "\n".join(wrong)
