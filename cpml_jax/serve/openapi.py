"""OpenAPI's description of the JSON API. openapi.json holds it: making it takes the packages of the model.

python -m cpml_jax.serve.openapi    writes it anew
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from cpml_jax.json_schema import COUNT, NUMBER, OBJECT, OPTIONAL_STRING, STRING, Schema, array, closed
from cpml_jax.serve.guard import COOKIE
from cpml_jax.serve.jobs import State
from cpml_jax.serve.settings import PORT

STORED = Path(__file__).with_name("openapi.json")


@functools.cache
def stored() -> str:
    """The description as it is served."""
    return STORED.read_text(encoding="utf-8")


def text() -> str:
    """The description as it has to be stored."""
    return json.dumps(document(), indent=1) + "\n"


def document() -> dict[str, Any]:
    """The whole description."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "CPML-JAX: scores of videos",
            "version": "1.0.0",
            "description": "POST a video, ask how it is until its state is done or failed, get its answer, delete it.",
        },
        "paths": {
            "/api/videos": {"get": _listing(), "post": _post()},
            "/api/videos/{id}": {
                "parameters": [_ID],
                "get": _operation("show", "How a video is", {200: _json("Video", "The video.")}, 404),
                "delete": _operation(
                    "remove", "Stop whatever is done with a video, and delete it and its results",
                    {204: {"description": "It is gone."}}, 403, 404,
                ),
            },
            "/api/videos/{id}/answer": {
                "parameters": [_ID, _DOWNLOAD],
                "get": _operation(
                    "answer", "What `main.py predict` prints of a video",
                    {200: _json("Answer", "Its answer, or its name and the error.")}, 404, 409,
                ),
            },
            "/api/videos/{id}/page": {
                "parameters": [_ID, _DOWNLOAD],
                "get": _operation(
                    "page", "The page that `main.py predict --report` draws",
                    {200: {"description": "One HTML file.", "content": {"text/html": {"schema": STRING}}}}, 404, 409,
                ),
            },
            "/openapi.json": {
                "get": _operation(
                    "description", "This description",
                    {200: {"description": "OpenAPI 3.1.", "content": {"application/json": {"schema": OBJECT}}}},
                )
            },
        },
        "components": {
            "schemas": schemas(),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "Only with --host."},
                "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE.format(port=PORT)},
            },
        },
        "security": [{}, {"token": []}, {"cookie": []}],
    }  # fmt: skip


_ID = {"name": "id", "in": "path", "required": True, "schema": STRING}
_DOWNLOAD = {
    "name": "download", "in": "query", "schema": STRING, "allowEmptyValue": True,
    "description": "Given, with any value: a browser saves the file under the video's name.",
}  # fmt: skip
_REASONS = {
    400: "The body is empty, or its length is none.",
    401: "The token is missing or wrong.",
    403: "Another web page asked.",
    404: "There is no such video.",
    408: "The upload stood still or was too slow.",
    409: "The video is not scored yet, could not be scored, or its upload was cancelled.",
    413: "The video is larger than --max_megabytes.",
    421: "The Host header is no name of this server.",
    429: "As many videos as --max_videos are being uploaded, waiting or scored.",
    507: "The server's disk is full.",
}


def _operation(name: str, summary: str, good: dict[int, Any], *refusals: int, **more: Any) -> dict[str, Any]:
    bad = {status: _json("Error", _REASONS[status]) for status in sorted({401, 421, *refusals})}
    responses = {str(status): response for status, response in {**good, **bad}.items()}
    return {"operationId": name, "summary": summary, **more, "responses": responses}


def _json(schema: str, description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": _ref(schema)}}}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _listing() -> dict[str, Any]:
    return _operation("list", "All videos of the session", {200: _json("Videos", "Oldest first.")})


def _post() -> dict[str, Any]:
    parameters = [
        {"name": "name", "in": "query", "schema": STRING, "description": "The video's name, for answers and pages."},
        {"name": "key", "in": "query", "schema": STRING, "description": "A mark of yours, given back in the video."},
    ]
    body = {"required": True, "description": "The file's bytes.", "content": {"application/octet-stream": {}}}
    created = _json("Video", "It waits to be scored.") | {
        "headers": {"Location": {"description": "Its address.", "schema": STRING}}
    }
    return _operation(
        "post", "Send a video", {201: created}, 400, 403, 408, 409, 413, 429, 507, parameters=parameters,
        requestBody=body,
    )  # fmt: skip


def schemas() -> dict[str, Schema]:
    """The components, by name."""
    from cpml_jax.evaluation import predict_schema
    from cpml_jax.evaluation.verdict import LABELS, UNDETERMINED
    from cpml_jax.json_schema import BASIC

    progress = closed(
        {
            "done": COUNT | {"description": "bytes (uploading), frames at 30 frames/s (faces) or windows (scoring)"},
            "total": {"type": ["integer", "null"], "minimum": 1, "description": "null: unknown"},
        }
    )
    result = closed(
        {
            "label": {"enum": [*LABELS, UNDETERMINED]},
            "leaning": {"enum": list(LABELS)},
            "score": NUMBER | {"minimum": 0, "maximum": 1, "description": "calibrated P(fake)"},
            "threshold": NUMBER | {"description": "the score from which on a video is called fake"},
            "windows": COUNT,
            "faces": COUNT,
            "sentences": array(STRING) | {"description": "what it is called, how familiar it is, what is guaranteed"},
        }
    )
    video = closed(
        {
            "id": STRING,
            "name": STRING,
            "key": STRING,
            "state": {"enum": [str(state) for state in State]},
            "position": {"type": ["integer", "null"], "minimum": 1, "description": "in the queue, while it waits"},
            "progress": {"oneOf": [{"type": "null"}, progress]},
            "result": {"oneOf": [{"type": "null"}, result], "description": "once its state is done"},
            "error": OPTIONAL_STRING | {"description": "once its state is failed"},
        }
    )
    own = {
        "Video": video,
        "Videos": closed(
            {"videos": array(_ref("Video")), "room": COUNT | {"description": "how many more are taken now"}}
        ),
        "Answer": predict_schema.predict(),
        "Error": closed({"error": STRING}),
    }
    # json_schema's parts lie beside the others here.
    moved = json.dumps({**own, **BASIC}).replace('"#/$defs/', '"#/components/schemas/')
    used = {name: value for name, value in json.loads(moved).items() if name in own or f'schemas/{name}"' in moved}
    return dict(sorted(used.items()))


if __name__ == "__main__":
    STORED.write_text(text(), encoding="utf-8")
