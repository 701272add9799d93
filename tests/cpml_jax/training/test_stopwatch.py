"""Times of steps: a device that finishes when it is told to, and a clock that is moved by hand."""

import threading

import pytest

from cpml_jax.training.stopwatch import IN_FLIGHT, Stopwatch


class Result:
    """What a step computes, on a device that takes until `finish`."""

    def __init__(self, error=None):
        self._done, self._error = threading.Event(), error

    def finish(self):
        self._done.set()

    def block_until_ready(self):
        assert self._done.wait(60)
        if self._error:
            raise self._error
        return self


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def begin(watch, result):
    with watch.step() as computing:
        computing({"loss": result})


def settled(watch):
    """Wait until the watcher has seen what is finished."""
    watch._begun.join()


def test_the_device_is_busy_from_a_steps_begin_or_the_last_ones_end_to_its_own():
    clock = Clock()
    with Stopwatch(clock) as watch:
        with watch.waiting_for_data():
            clock.now += 2.0  # 100..102
        first, second = Result(), Result()
        begin(watch, first)
        clock.now += 1.0
        begin(watch, second)  # at 103, queued behind the first
        clock.now += 1.0
        first.finish()  # 102..104
        while watch._finished < 104.0:
            pass
        clock.now += 3.0
        second.finish()  # 104..107
        settled(watch)
        with watch.waiting_for_data():
            clock.now += 3.0
        assert watch.lap() == pytest.approx({"step_s": 5.0, "data_wait_s": 2.5, "device_share": 0.5})
        clock.now += 1.0  # of the next lap
        third = Result()
        begin(watch, third)
        clock.now += 1.0
        third.finish()
        assert watch.lap() == pytest.approx({"step_s": 2.0, "data_wait_s": 0.0, "device_share": 0.5})


def test_what_lies_before_a_restart_counts_for_no_step():
    clock = Clock()
    with Stopwatch(clock) as watch:
        clock.now += 50.0  # validation
        watch.restart()
        result = Result()
        begin(watch, result)
        clock.now += 4.0
        result.finish()
        assert watch.lap() == pytest.approx({"step_s": 4.0, "data_wait_s": 0.0, "device_share": 1.0})


def test_no_more_steps_are_begun_than_may_be_in_flight():
    results, begun = [Result() for _ in range(5)], []

    def loop():
        for result in results:
            with watch.step() as computing:
                begun.append(result)
                computing(result)

    with Stopwatch() as watch:
        thread = threading.Thread(target=loop)
        thread.start()
        for finished, result in enumerate(results):
            thread.join(0.05)
            assert len(begun) <= finished + IN_FLIGHT
            result.finish()
        thread.join(60)
        assert begun == results and watch.lap()["step_s"] > 0


def test_a_step_that_fails_on_the_device_or_on_the_host_blocks_none_after_it():
    with Stopwatch() as watch:
        for number in range(2 * IN_FLIGHT + 1):
            result = Result(RuntimeError("out of memory") if number % 2 else None)
            result.finish()
            begin(watch, result)
            with pytest.raises(ValueError, match="host"), watch.step():
                raise ValueError("host")
        assert 0 <= watch.lap()["device_share"] <= 1
