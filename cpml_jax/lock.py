"""One process at a time writes to a folder: a lock that a dead process does not keep.

The system's lock (flock) on a file in the folder ends with its process. Network file systems pass it to the server
(NFS) or know it on this machine alone, so the file also says who holds it, and its time is a sign of life: where the
holder is on another machine, the folder is free once that sign is DEAD seconds old. Both times are the file system's:
the machines' clocks may differ.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import json
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cpml_jax.errors import UserError
from cpml_jax.files import parse_json, remove_left

try:
    import fcntl
except ImportError:  # no such lock on this system: the file's content decides
    fcntl = None

NAME = ".lock"
BEAT = 15.0  # s between two signs of life
DEAD = 120.0  # s; more than the 60 s that an NFS client may take to see a file's new time
SEEN = 60.0  # s that an NFS client may take to see a new file
POLL = 1.0  # s between two looks while waiting
_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
_held: dict[int, Path] = {}  # this process's own: descriptor -> file
_TEXT = 200  # characters of a lock's text that are shown: it may be somebody else's


class Busy(Exception):
    """Who holds the folder, as text."""


@contextlib.contextmanager
def held(folder: str | os.PathLike[str], *, wait: bool = False, name: str = "") -> Iterator[None]:
    """The folder, or the file of that name in it, belongs to this process alone until the block ends.

    Args:
      folder: exists. wait: for as long as another process holds it; one line on stderr says so.
      name: of the file, beside which others may write.

    Raises:
      UserError: another process holds it, or the folder may not be written to.
    """
    path, told = Path(folder) / (f".{name}{NAME}" if name else NAME), False
    what, kind = (Path(folder) / name, "file") if name else (folder, "folder")
    while True:
        try:
            file = _acquire(path)
            break
        except Busy as busy:
            if not wait:
                raise UserError(f"{what}: in use by {busy}; --wait waits for it, or name another {kind}") from None
            if not told:
                print(f"{what}: in use by {busy}; waiting", file=sys.stderr, flush=True)
            told = True
            time.sleep(POLL)
        except OSError as error:
            raise UserError(
                f"{folder}: cannot be written to ({os.strerror(error.errno or 0)}); mend that and "
                "start the same command again, or choose another folder"
            ) from None
    _held[file] = path
    done = threading.Event()
    with contextlib.suppress(OSError):
        remove_left(Path(folder), name)
    beating = threading.Thread(target=_beat, args=(file, done), daemon=True, name="sign of life")
    beating.start()
    try:
        yield
    finally:
        done.set()
        beating.join()
        _held.pop(file)
        _remove(file, path)
        os.close(file)


def abandon() -> None:
    """For a process that ends at once, without leaving its blocks: their files are removed."""
    for file, path in list(_held.items()):
        _remove(file, path)


def _remove(file: int, path: Path) -> None:
    with contextlib.suppress(OSError):
        if _is(file, path):
            os.unlink(path)  # before the lock ends, or it might be the next process's


def one_of_several() -> bool:
    """Whether this process is one of a run on several hosts."""
    import jax

    return jax.process_count() > 1


@contextlib.contextmanager
def alone(workdir: str | os.PathLike[str], *, wait: bool = False) -> Iterator[None]:
    """A run's folder, if it is there, belongs to this run alone: of several hosts the first holds it for all.

    Raises:
      UserError: as `held`, on every host; or not all of them share the folder.
    """
    if not one_of_several():
        with held(workdir, wait=wait) if Path(workdir).is_dir() else contextlib.nullcontext():
            yield
        return
    import jax
    import numpy as np
    from jax.experimental import multihost_utils

    from cpml_jax import hosts

    refused: UserError | None = None
    with contextlib.ExitStack() as stack:
        exists = Path(workdir).is_dir()
        if jax.process_index() == 0 and exists:
            try:
                stack.enter_context(held(workdir, wait=wait))
            except UserError as error:
                refused = error
        free, exists = multihost_utils.broadcast_one_to_all(np.array([refused is None, exists]))
        if not free:
            raise refused or UserError(f"{workdir}: not free; process 0 says who holds it")
        if exists:
            hosts.check_shared(workdir, _appears(Path(workdir) / NAME))
        yield


def _appears(path: Path) -> bool:
    """Whether another host's file is seen within SEEN seconds."""
    until = time.monotonic() + SEEN
    while not path.exists() and time.monotonic() < until:
        time.sleep(POLL)
    return path.exists()


def _acquire(path: Path) -> int:
    """The descriptor of the locked file. Raises Busy or OSError."""
    while True:
        # No link is followed: in somebody else's folder it could lead to any file.
        file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0), 0o644)
        try:
            enforced = _flock(file)
            if not _is(file, path):  # its holder has just ended and removed it
                os.close(file)
                continue
            holder = _read(file)
            if enforced is None or _lives(holder, path, file, enforced=enforced):
                raise Busy(_described(holder))
            about = {"host": socket.gethostname(), "boot": _boot(), "pid": os.getpid(), "command": " ".join(sys.argv)}
            about["since"] = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
            os.ftruncate(file, 0)
            os.pwrite(file, json.dumps(about).encode(), 0)
            return file
        except BaseException:
            with contextlib.suppress(OSError):
                os.close(file)
            raise


def _flock(file: int) -> bool | None:
    """True: ours now; None: another process's; False: this file system has no such lock."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return None
        if error.errno in _UNSUPPORTED:
            return False
        raise


def _is(file: int, path: Path) -> bool:
    """Whether the path still is the open file."""
    try:
        named, opened = os.stat(path, follow_symlinks=False), os.fstat(file)
    except FileNotFoundError:
        return False
    return (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)


def _read(file: int) -> dict[str, Any]:
    """Who the file says holds it; nothing where it says nothing."""
    try:
        held_by = parse_json(os.pread(file, 1 << 16, 0))
        return held_by if isinstance(held_by, dict) and isinstance(held_by.get("pid"), int) else {}
    except ValueError:
        return {}


def _lives(holder: dict[str, Any], path: Path, file: int, *, enforced: bool) -> bool:
    """Whether the holder that a file names may still be at work, although the system gave us its lock."""
    if not holder:
        return False
    here = holder.get("host") == socket.gethostname() or (_boot() and holder.get("boot") == _boot())
    if here:
        return not enforced and holder["pid"] != os.getpid() and _runs(holder["pid"])
    return _now(path.parent) - os.fstat(file).st_mtime < DEAD


def _runs(pid: int) -> bool:
    """Whether this machine has a process of that number."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError, ValueError):
        return False
    except PermissionError:
        pass
    return True


def _now(folder: Path) -> float:
    """The file system's time, s."""
    probe = folder / f"{NAME}.{uuid.uuid4().hex}.tmp"
    try:
        probe.touch(exist_ok=False)
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def _boot() -> str:
    """Names this start of the machine, whatever a container calls it; "" where nothing does."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _described(holder: dict[str, Any]) -> str:
    if not holder:
        return "another process"
    text = " ".join(f"process {holder['pid']} on {holder.get('host')} since {holder.get('since')}".split())[:_TEXT]
    command = " ".join(str(holder.get("command", "")).split())[:_TEXT]
    return f"{text} ({command!r})"


def _beat(file: int, done: threading.Event) -> None:
    """Signs of life, until the block ends or the file system is gone."""
    while not done.wait(BEAT):
        with contextlib.suppress(OSError):
            os.utime(file)
