"""Both sides in their processes, the arithmetic of the table, and the command's refusals."""

import importlib.util
import json
import multiprocessing

import numpy as np
import pytest
import toy_side

from benchmarks import train
from benchmarks.side_by_side import page, rows, worker
from benchmarks.side_by_side.rows import EAGER, OURS, RELEASED
from cpml_jax.errors import UserError


def described(seconds: dict[str, list[float]], *, device: str = "cpu", built=None):
    config = rows.configuration(toy_side.ROW, device, 4)
    taken = [[(s, 2 * s) for s in turns] for turns in seconds.values()]
    known = built or {"device": "cpu", "flops": None, "bytes_moved": None, "seconds_to_build": 1.0}
    names = list(seconds)
    return train.described(toy_side.ROW, device, config, names, taken, [10**9] * len(names), [known] * len(names))


def test_ratios_are_of_clips_a_second():
    row = described({OURS: [1.0, 9.0, 2.0], EAGER: [3.0, 3.0, 50.0], RELEASED: [8.0, 8.0, 8.0]})
    ours, eager, released = row["contestants"]
    assert (ours["seconds"], ours["clips_per_s"], ours["ours_over"]) == (2.0, 2.0, 1.0)
    assert (eager["seconds"], eager["ours_over"], eager["ours_over_cpu"]) == (3.0, 1.5, 1.5)
    assert released["clips_per_s"] == 0.25 and released["ours_over"] == 8.0, "its step is one pair, ours two"
    assert row["rounds"] == 3 and row["size"] == "4 clips x 1 views x 16 frames x 32 pixels"
    text = "\n".join(page.lines(row))
    assert "1.50 times" in text and "8.00 times" in text and "1 GB" in text


def test_the_roofline_is_the_larger_of_arithmetic_and_memory():
    card = {"device": "NVIDIA H100 80GB HBM3", "flops": 989e12 * 0.1, "bytes_moved": 3.352e12 * 0.2}
    assert train.roofline(card, 0.5) == pytest.approx(0.4)
    assert train.roofline(card | {"bytes_moved": 0.0}, 0.5) == pytest.approx(0.2)
    assert train.roofline(card | {"device": "a card of next year"}, 0.5) is None
    on_gpu = described({OURS: [0.5]}, device="gpu", built=card | {"seconds_to_build": 1.0})
    assert on_gpu["contestants"][0]["ours_over_cpu"] is None and "40% of the roofline" in "\n".join(page.lines(on_gpu))


def test_the_batch_is_one_that_every_term_sees():
    for row in rows.ROWS[:1]:
        batch = rows.batch(rows.configuration(row, "cpu"))
        real, fake = batch["label"] == 0, batch["label"] == 1
        assert real.sum() == fake.sum() == 4 and set(batch["class_index"][fake]) == {1, 2, 3, 4}
        assert all((batch["pair"][real] == pair).sum() == 1 for pair in batch["pair"][fake])
        assert (np.ptp(batch["frames"], axis=2) > 0).all() and 0.9 < batch["valid"].mean() < 1


@pytest.mark.torch
def test_both_sides_take_turns_in_processes_of_their_own():
    row = train.measure(toy_side.ROW, "cpu", [OURS, EAGER, RELEASED], 1, 0, (2, 60.0))
    assert [side["contestant"] for side in row["contestants"]] == [OURS, EAGER, RELEASED]
    for side in row["contestants"]:
        assert len(side["turns"]) == 2 and side["seconds"] > 0 and side["cpu_seconds"] > 0
        assert 30e6 < side["peak_bytes"] < 8e9, "a whole process, and no more"
    json.dumps(row)


@pytest.mark.torch
def test_what_cannot_be_built_is_one_line_and_leaves_no_process():
    with pytest.raises(UserError, match=r"^broken, eager: ") as refused:
        worker.Worker(toy_side.BROKEN, EAGER, "cpu", 1, 0)
    assert "\n" not in str(refused.value)
    for process in multiprocessing.active_children():
        process.join(20)
        assert not process.is_alive()


@pytest.mark.torch
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rows=fly"], "--rows=fly: it is one of default, full"),
        (["--contestants=theirs"], "--contestants=theirs"),
        (["--clips=3"], "--clips=3"),
        (["--threads=999"], "--threads"),
        (["--rounds=0"], "--rounds"),
        (["--device=gpu"], "sees no GPU"),
    ],
)
def test_mistakes_are_said_before_any_work(arguments, words, monkeypatch):
    monkeypatch.setattr(train, "measure", lambda *_: pytest.fail("it began"))
    if arguments == ["--device=gpu"] and __import__("torch").cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(UserError, match=words):
        train.main([*arguments, "--out=/nonexistent/never"])


def test_without_torch_the_group_is_named(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "torch" else find(name, *a))
    with pytest.raises(UserError, match="uv sync --group torch"):
        train.detected("auto")
