"""The ASGI application: routes behind the guard, and the task that hands one video after the other to the worker."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from cpml_jax.serve import api, page
from cpml_jax.serve.guard import Guard
from cpml_jax.serve.jobs import Job, Jobs
from cpml_jax.serve.process import Task
from cpml_jax.serve.refusal import Refused, said
from cpml_jax.serve.settings import Settings
from cpml_jax.serve.worker import Worker


def build(worker: Worker, folder: Path, settings: Settings, *, model: str = "", token: str = "") -> Starlette:
    """The application.

    Args:
      worker: not yet started, or started; stopped when the application ends.
      folder: private, for uploads and results; deleted by whoever made it.
      model: its name, for the page. token: as Guard's.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        scoring = asyncio.create_task(score_all(app.state.jobs, worker))
        try:
            yield
        finally:
            close(app)
            await asyncio.to_thread(worker.stop)
            scoring.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await scoring
            await asyncio.get_running_loop().shutdown_default_executor()  # its thread may still be writing
            for left in folder.iterdir():  # of the one that was being scored
                shutil.rmtree(left, ignore_errors=True)

    app = Starlette(
        routes=[*page.routes(), *api.routes()],
        middleware=[Middleware(Guard, host=settings.host, token=token)],
        exception_handlers={Refused: refused, HTTPException: unknown},
        lifespan=lifespan,
    )
    app.state.jobs, app.state.settings, app.state.model = Jobs(folder, settings), settings, model
    return app


def close(app: Starlette) -> None:
    """The server is being stopped: what is uploading ends, and nobody waits for it."""
    for job in list(app.state.jobs):
        app.state.jobs.remove(job)


async def score_all(jobs: Jobs, worker: Worker) -> None:
    """Score one video after the other, for ever."""
    while True:
        job = await jobs.next()
        kind, told = await asyncio.to_thread(worker.score, task_of(job), job.report, job.cancelled)
        if kind == "done":
            jobs.finish(job, result=told)
        else:
            jobs.finish(job, error=told or "It was cancelled.")


def task_of(job: Job) -> Task:
    """What the worker is told of a job."""
    return Task(job.upload, job.name, job.answer, job.page)


def refused(request: Request, error: Exception) -> Response:
    """As JSON, whoever asks."""
    assert isinstance(error, Refused)
    return said(error.status, error.sentence)


def unknown(request: Request, error: Exception) -> Response:
    """Addresses and methods that there are not."""
    assert isinstance(error, HTTPException)
    return said(error.status_code, f"{error.detail}: {request.method} {request.url.path} is nothing here.")
