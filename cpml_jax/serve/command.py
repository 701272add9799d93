"""`main.py serve`: from flags to a server that runs until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TextIO

from ml_collections import ConfigDict

from cpml_jax.errors import UserError
from cpml_jax.serve.process import Load
from cpml_jax.serve.settings import LOCAL, Settings

if TYPE_CHECKING:  # the model's packages
    from cpml_jax.prediction.detector import Detector

INSTALL = "in a checkout run `uv sync`; beside an installed wheel `pip install starlette uvicorn`"
FAREWELL = 3  # s for answers that are on their way when the server is stopped
CONNECTIONS = 200  # at the same time; more are answered with status 503


def run(config: ConfigDict | None, workdir: str, model: str, settings: Settings) -> int:
    """Serve a model until Ctrl-C or SIGTERM.

    Args:
      config, workdir, model: as predict's (cpml_jax/predict.py).

    Returns:
      Exit status, 130: a server ends by being interrupted.

    Raises:
      UserError: no usable model, an address that is taken, or packages that are not installed.
    """
    load = functools.partial(detector_of, config, workdir, model)
    name = Path(model or workdir).name if not model.startswith("hf://") else model
    return serve(load, settings, name)


def detector_of(config: ConfigDict | None, workdir: str, model: str) -> Detector:
    """What `predict` would score with; runs in the worker's process."""
    from cpml_jax import compiled
    from cpml_jax.prediction.detector import Detector

    compiled.keep()
    if model or config is None:
        return Detector.load(model or workdir)
    from cpml_jax.validation import validate

    validate(config, "predict", workdir=workdir)
    return Detector.of_run(config, workdir)


def serve(load: Load, settings: Settings, name: str, out: TextIO | None = None) -> int:
    """Serve what `load` makes.

    Args:
      name: the model's, for the page. out: gets the address; standard output if None.
    """
    try:
        import uvicorn

        from cpml_jax.serve import app as application
    except ImportError as error:
        raise UserError(f"serve needs the package {error.name!r}: {INSTALL}") from None
    from cpml_jax.serve.worker import Worker

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            application.close(app)  # uvicorn would wait for what is uploading
            await super().shutdown(sockets)

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            super().handle_exit(sig, frame)
            self.force_exit = False  # by a second Ctrl-C: it takes FAREWELL at most, and leaves nothing behind

    out = out or sys.stdout
    with listening(settings) as listener, private_folder() as folder:
        token = secrets.token_urlsafe(32) if settings.host else ""
        worker = Worker(load, folder, settings.seconds)
        app = application.build(worker, folder, settings, model=name, token=token)
        server = Server(
            uvicorn.Config(
                app, http="h11", ws="none", loop="asyncio", lifespan="on", log_config=None, log_level="error",
                access_log=False, proxy_headers=False, server_header=False, limit_concurrency=CONNECTIONS,
                timeout_graceful_shutdown=FAREWELL,
            )
        )  # fmt: skip
        try:
            worker.start()
            print(f"Open {address(listener, settings, token)}", file=out)
            print("Ctrl-C stops the server; uploads and results are deleted then.", file=out, flush=True)
            asyncio.run(server.serve(sockets=[listener]))
        except KeyboardInterrupt:
            print("stopped; uploads and results are deleted", file=sys.stderr)
        finally:
            worker.stop()
    return 130


@contextlib.contextmanager
def listening(settings: Settings) -> Iterator[socket.socket]:
    """A socket at the address.

    Raises:
      UserError: there is no such address here, or it is taken.
    """
    host = settings.host or LOCAL
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, settings.port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise UserError(
            f"--host={host}: no address of this machine ({getattr(error, 'strerror', None) or error})"
        ) from None
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(place)
            listener.listen(128)
        except OSError as error:
            raise UserError(
                f"{host}, port {settings.port}: cannot be listened at ({os.strerror(error.errno or 0)}); choose "
                "another with --port, or 0 for any that is free"
            ) from None
        yield listener


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """A temporary folder of mode 0700, deleted at the end, also where SIGTERM or a closed terminal is the end.

    Where this process is killed, the worker's deletes it (process.py); where both are, it stays.
    """

    def leave(number: int, _frame: object) -> None:
        sys.exit(128 + number)

    def terminate(_number: int, _frame: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)  # for uvicorn, or for `leave`

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in ((signal.SIGTERM, leave), (signal.SIGHUP, terminate)):
        if before[number] != signal.SIG_IGN:  # as under nohup
            signal.signal(number, handler)
    folder = Path(tempfile.mkdtemp(prefix="cpml-serve-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for number, handler in before.items():
            signal.signal(number, handler)


def address(listener: socket.socket, settings: Settings, token: str) -> str:
    """What to open in a browser."""
    host, port = listener.getsockname()[:2]
    if settings.host and settings.host not in ("0.0.0.0", "::"):
        host = settings.host
    elif settings.host:  # every address of this machine: its name is more use than 0.0.0.0
        host = socket.gethostname()
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{port}/{f'?token={token}' if token else ''}"
