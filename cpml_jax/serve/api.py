"""The JSON API: POST a video, ask how it is, get its answer and its page, delete it. openapi.py describes it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from urllib.parse import quote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from cpml_jax.serve import guard, openapi, uploads
from cpml_jax.serve.jobs import FINISHED, Job, Jobs, State, tidy
from cpml_jax.serve.refusal import Refused, said
from cpml_jax.serve.settings import Settings

LINGER = 2.0  # s in which what a refused upload still sends is thrown away, so that its sender can read why
UNREAD = (413, 429, 507)  # where the client may be sending still
LONGEST_KEY = 64
Handler = Callable[[Request], Awaitable[Response]]


def routes() -> list[Route]:
    """All of the API's."""
    one = "/api/videos/{id}"
    return [
        Route("/api/videos", post, methods=["POST"]),
        Route("/api/videos", listing),
        Route(one, show),
        Route(one, delete, methods=["DELETE"]),
        Route(f"{one}/answer", answer),
        Route(f"{one}/page", page),
        Route("/openapi.json", description),
    ]


def _jobs(request: Request) -> Jobs:
    return request.app.state.jobs


async def post(request: Request) -> Response:
    """A video as the request's body; its name, and a mark of the client's, as parameters."""
    settings: Settings = request.app.state.settings
    jobs = _jobs(request)
    try:
        size = uploads.check_size(request.headers.get("content-length"), settings, jobs.folder)
        name = tidy(request.query_params.get("name", "")).strip() or "video"
        job = jobs.open(name, tidy(request.query_params.get("key", ""), LONGEST_KEY), size)
        try:
            await _receive(request, job, settings)
            await jobs.put(job)
        except BaseException:  # the tab was closed, too
            jobs.remove(job)
            raise
    except Refused as refused:
        answer = said(refused.status, refused.sentence)
        return Lingering(answer, request) if refused.status in UNREAD else answer
    except ClientDisconnect:
        return Response(status_code=400)  # nobody reads it
    return JSONResponse(jobs.describe(job), status_code=201, headers={"Location": f"/api/videos/{job.id}"})


async def _receive(request: Request, job: Job, settings: Settings) -> None:
    """The body to the job's file; ends as soon as the job is removed."""

    def told(count: int) -> None:
        job.done = count

    job.receiving = asyncio.create_task(uploads.receive(request.stream(), job.upload, settings, told))
    try:
        await job.receiving
    except asyncio.CancelledError:
        if not job.cancelled.is_set():
            raise
        raise Refused(409, "The upload was cancelled, or the server is being stopped.") from None
    finally:
        job.receiving = None


class Lingering(Response):
    """Answers a request whose body has not been read. Closed at once, the connection would be reset, and many a client
    would report that, and not the sentence."""

    def __init__(self, response: Response, request: Request) -> None:
        super().__init__(response.body, response.status_code, media_type=response.media_type)
        self.headers["Connection"] = "close"
        self._request = request

    async def __call__(self, scope, receive, send) -> None:
        headers = [*self.raw_headers]
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        try:
            async with asyncio.timeout(LINGER):
                more = self._expects_no_permission()
                while more:
                    message = await receive()
                    more = message["type"] == "http.request" and message.get("more_body", False)
        except TimeoutError:
            pass
        await send({"type": "http.response.body", "body": b""})

    def _expects_no_permission(self) -> bool:
        """Whether the client sends without being asked to: curl waits for `100 Continue`."""
        return self._request.headers.get("expect", "").lower() != "100-continue"


async def listing(request: Request) -> Response:
    """All videos, and whether there is room for more."""
    jobs = _jobs(request)
    return JSONResponse({"videos": [jobs.describe(job) for job in jobs], "room": jobs.room})


def of_one(handler: Callable[[Jobs, Job, Request], Response]) -> Handler:
    """A handler of one video's address."""

    @functools.wraps(handler)
    async def handle(request: Request) -> Response:
        jobs = _jobs(request)
        return handler(jobs, jobs.get(request.path_params["id"]), request)

    return handle


@of_one
def show(jobs: Jobs, job: Job, request: Request) -> Response:
    """How a video is."""
    return JSONResponse(jobs.describe(job))


@of_one
def delete(jobs: Jobs, job: Job, request: Request) -> Response:
    """Stop whatever is done with it, and forget it."""
    jobs.remove(job)
    return Response(status_code=204)


@of_one
def answer(jobs: Jobs, job: Job, request: Request) -> Response:
    """What `main.py predict` prints of it."""
    if job.state not in FINISHED:
        raise Refused(409, "It is not scored yet.")
    if not job.answer.is_file():  # the process that would have written it ended
        return JSONResponse({"video": job.name, "error": job.error}, headers=_named(request, job, "json"))
    return FileResponse(job.answer, media_type="application/json", headers=_named(request, job, "json"))


@of_one
def page(jobs: Jobs, job: Job, request: Request) -> Response:
    """The page that `main.py predict --report` draws."""
    if job.state != State.DONE:
        raise Refused(409, job.error and f"It could not be scored: {job.error}" or "It is not scored yet.")
    headers = _named(request, job, "html") | {"Content-Security-Policy": guard.RESULT_POLICY}
    return FileResponse(job.page, media_type="text/html", headers=headers)


def _named(request: Request, job: Job, suffix: str) -> dict[str, str]:
    """With ?download, the browser saves the answer under the video's name."""
    if "download" not in request.query_params:
        return {}
    return {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(file_name(job.name), safe='')}.{suffix}"}


def file_name(name: str) -> str:
    """A client's name of a video as a file's name on any system, without suffix."""
    stem = "".join("_" if c in '/\\:*?"<>|' else c for c in name)[:100].strip(". ")
    return stem or "video"


async def description(request: Request) -> Response:
    """OpenAPI's."""
    return Response(openapi.stored(), media_type="application/json")
