"""What is said when hosts do not come together, or one of them goes; the real thing: training/test_many.py."""

import os
import socket
import subprocess
import sys
import types

import jax
import numpy as np
import pytest
from command import run_main

from cpml_jax import cli, hosts, lock, native_messages, options
from cpml_jax.errors import UserError
from cpml_jax.training import sharding

# As jaxlib 0.10.2 prints them.
SILENT = "Barrier failed because: task is set to ERROR: UNAVAILABLE: Task 3 heartbeat timeout. This indicates that"
UNHEALTHY = (
    "absl::Status: UNAVAILABLE: The following tasks are unhealthy (stopped sending heartbeats):\n1\n12\n"
    "The tasks have crashed. Check the task logs for an earlier error"
)
RESET = (
    "UNKNOWN: Gloo all-reduce failed: [external/gloo/gloo/transport/tcp/pair.cc:538] Read error [127.0.0.1]:23749: "
    "Connection reset by peer"
)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("localhost", 2, 0), "give host:port"),
        (("localhost:70000", 2, 0), "give host:port"),
        ((":8476", 2, 0), "give host:port"),
        (("localhost:8476", 0, 0), "--processes=N .*they are 0 and 0"),
        (("localhost:8476", 2, 2), "they are 2 and 2"),
        (("localhost:8476", 2, -1), "they are 2 and -1"),
    ],
)
def test_a_coordinator_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        hosts._address(*arguments)


def test_a_port_in_use_is_refused_where_it_is_to_be_opened():
    """JAX's service would crash with a segmentation fault."""
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        coordinator = f"localhost:{taken.getsockname()[1]}"
        with pytest.raises(UserError, match="cannot be opened here"):
            hosts._address(coordinator, 2, 0)
        assert hosts._address(coordinator, 2, 1) == (coordinator, 2, 1)


@pytest.mark.parametrize("flag", ["--processes=2", "--process=1"])
def test_numbers_without_a_coordinator_are_refused(flag, capfd):
    assert run_main("train", flag) == 2
    assert "go with --coordinator=host:port" in capfd.readouterr().err


def test_a_process_that_gave_no_sign_of_life_is_named(monkeypatch):
    monkeypatch.setattr(hosts, "_joined", True)
    monkeypatch.setattr(hosts, "_timeout", 60)
    assert hosts._line(SILENT).startswith("process 3 has given no sign of life for 60 s")
    assert hosts._line(UNHEALTHY).startswith("process 1, 12 has given no sign of life")
    wrapped = RuntimeError("5 of 7 files are written")
    wrapped.__cause__ = TimeoutError(f"Timeout waiting at barrier: {SILENT}")
    assert hosts.of_a_peer(wrapped).startswith("process 3 has given no sign")
    assert hosts.of_a_peer(jax.errors.JaxRuntimeError(RESET)).startswith("another process of this run has stopped")


def test_what_a_lost_host_looked_like_to_us_is_not_believed(monkeypatch, capsys):
    """Orbax could not open the checkpoints, since the other process had gone; that is not the user's to mend."""

    def main(_):
        try:
            raise jax.errors.JaxRuntimeError(RESET)
        except jax.errors.JaxRuntimeError:
            raise UserError("checkpoints cannot be opened") from None

    monkeypatch.setattr(hosts, "_joined", True)
    monkeypatch.setattr(cli, "main", main)
    monkeypatch.setattr(options, "DEBUG", types.SimpleNamespace(value=False))
    monkeypatch.setattr(hosts, "end", lambda status: None)
    assert cli.guarded(["main.py", "train"]) == hosts.AGAIN
    assert capsys.readouterr().err.startswith("error: another process of this run has stopped")


def test_a_fault_of_this_process_alone_is_no_other_host_s(monkeypatch):
    monkeypatch.setattr(hosts, "_joined", True)
    assert hosts.of_a_peer(jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")) is None
    assert hosts.of_a_peer(ValueError("a barrier of another kind")) is None
    monkeypatch.setattr(hosts, "_joined", False)  # and where there are no others, it is nobody's
    assert hosts.of_a_peer(jax.errors.JaxRuntimeError(RESET)) is None


ABORT = """
import ctypes, os, sys
from cpml_jax import native_messages
def on_fatal(said):
    print("ONE LINE", repr(said.splitlines()[-1]), file=sys.stderr, flush=True)
    os._exit(75)
native_messages.watch(on_fatal)
os.write(2, b"a warning of C++\\n")
print("a line of Python", file=sys.stderr)
if sys.argv[1] == "fatal":
    os.write(2, b"F1129 client.h:80] Terminating process because the JAX distributed service detected fatal errors. \\n"
                b"the last line\\n*** Check failure stack trace: ***\\n    @ 0x7f36d6040634  absl::Flush()\\n")
    ctypes.CDLL(None).abort()  # as C++ does, without the interpreter's lock
import time
time.sleep(0.2)
"""


@pytest.mark.parametrize(("how", "status"), [("fatal", 75), ("well", 0)])
def test_an_abort_of_jax_is_told_by_us_and_all_else_is_passed_on(how, status):
    done = subprocess.run([sys.executable, "-c", ABORT, how], capture_output=True, text=True, timeout=60)
    assert done.returncode == status
    assert sorted(done.stderr.splitlines()[:2]) == ["a line of Python", "a warning of C++"]
    assert done.stderr.splitlines()[2:] == (["ONE LINE 'the last line'"] if how == "fatal" else [])


def test_whoever_ends_at_once_leaves_no_lock(tmp_path):
    code = (
        f"import os\nfrom cpml_jax import lock\nwith lock.held({str(tmp_path)!r}):\n    lock.abandon()\n    os._exit(3)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 3
    assert not list(tmp_path.iterdir())
    with lock.held(tmp_path):
        assert os.listdir(tmp_path) == [lock.NAME]


def test_a_folder_that_some_process_does_not_see_is_refused(monkeypatch):
    from jax.experimental import multihost_utils

    monkeypatch.setattr(multihost_utils, "process_allgather", lambda seen: np.array([1, 0, 1, 0]))
    monkeypatch.setattr(jax, "process_count", lambda: 4)
    with pytest.raises(UserError, match="runs/a: process 1, 3 does not see process 0's files"):
        hosts.check_shared("runs/a", True)


def test_several_processes_take_all_devices(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(UserError, match="takes all of their 8 devices"):
        sharding.make_mesh(4)
    with pytest.raises(UserError, match="the 2 processes have 8 devices"):
        sharding.make_mesh(9)
    assert sharding.make_mesh(8).size == sharding.make_mesh().size == 8


def test_words_of_the_service_itself_are_not_passed_on():
    assert native_messages._KNOWN.search(b"E1129 17:42 coordination_service_agent.cc:332] Polled an error from")
    assert not native_messages._KNOWN.search(b"W1129 17:42 bfc_allocator.cc:501] ran out of memory")
