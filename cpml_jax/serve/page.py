"""The page: a skeleton that serve.js fills. All that it needs comes from this server."""

from __future__ import annotations

import functools
from html import escape
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from cpml_jax.serve.settings import LOCAL, Settings, duration_text, size_text
from cpml_jax.video_files import VIDEO_SUFFIXES

HERE = Path(__file__).parent
# The look of all pages of this project; its package is not imported, since it loads much.
LOOK = HERE.parent / "report" / "report.css"
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Score videos</title><link rel="icon" href="data:,"><link rel="stylesheet" href="style.css">
<script src="serve.js" defer></script></head>
<body data-bytes="{bytes}" data-largest="{largest}" data-videos="{videos}">
<header><p class="soft">CPML-JAX{model}</p><h1>Does this video resemble a forgery?</h1>
<p>A score shows how much the faces of a video resemble the forgeries that the model was trained on. It proves nothing,
in either direction. What each answer rests on, and how far the video is from what the model knows, is on its
page.</p></header>
<main>
<section id="add" aria-labelledby="add-title"><h2 id="add-title">Add videos</h2>
<div id="drop"><input type="file" id="pick" multiple accept="video/*,{suffixes}" aria-describedby="limits">
<label for="pick">Choose videos</label> <span class="mouse">or drop them anywhere on this page</span></div>
<p class="soft" id="limits">Each up to {largest} and {longest}; up to {videos} at a time. {privacy}</p>
<noscript><p class="missing">This page needs JavaScript, which comes from this server alone. Without it, there is the
<a href="openapi.json">JSON API</a>.</p></noscript></section>
<section aria-labelledby="list-title"><h2 id="list-title">Videos</h2>
<p id="trouble" role="alert" class="missing" hidden></p>
<p id="none" class="soft">None yet.</p>
<ol id="videos"></ol></section>
<p id="spoken" role="status" aria-live="polite"></p>
</main>
<template id="video"><li class="card"><h3><bdi></bdi></h3><p class="state"></p><progress></progress>
<p class="distance" hidden></p>
<p class="actions"><button type="button" class="show" aria-expanded="false">Show what it rests on</button>
<a class="tab" target="_blank">Open in a new tab</a><a class="html" download>Save as HTML</a>
<a class="json" download>Save as JSON</a><button type="button" class="remove"></button></p>
<div class="result" hidden></div></li></template>
</body></html>
"""


def routes() -> list[Route]:
    """The page and its two files."""
    return [
        Route("/", show),
        Route("/serve.js", script),
        Route("/style.css", style),
    ]


async def show(request: Request) -> Response:
    """The page itself."""
    return HTMLResponse(html(request.app.state.settings, request.app.state.model))


def html(settings: Settings, model: str) -> str:
    """The page of a server with these limits."""
    where = "on this computer" if not settings.host or settings.host == LOCAL else "on the computer of this address"
    privacy = (
        f"They are read {where} and sent nowhere else. A video is deleted as soon as it is scored, and its result when "
        "you remove it or the server stops."
    )
    if settings.host:
        privacy += " Whoever has this server's address with its token sees all that is listed here."
    return _PAGE.format(
        bytes=settings.bytes,
        largest=escape(size_text(settings.bytes)),
        longest=escape(duration_text(settings.seconds)),
        videos=settings.videos,
        model=f" \N{MIDDLE DOT} <bdi>{escape(model)}</bdi>" if model else "",
        suffixes=",".join(VIDEO_SUFFIXES),
        privacy=privacy,
    )


async def script(request: Request) -> Response:
    """The page's JavaScript."""
    return Response(_read(HERE / "serve.js"), media_type="text/javascript")


async def style(request: Request) -> Response:
    """The look of the project's pages, and what this one adds."""
    return Response(_read(LOOK) + _read(HERE / "serve.css"), media_type="text/css")


@functools.cache
def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")
