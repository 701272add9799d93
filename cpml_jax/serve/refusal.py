"""What the server refuses: a status of HTTP and one sentence, which the page shows as it is."""

from __future__ import annotations

from starlette.responses import JSONResponse


class Refused(Exception):
    """A request that is not granted.

    Attributes:
      status: of HTTP. sentence: why, and what to do.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


def said(status: int, sentence: str) -> JSONResponse:
    """The answer to a request that is refused."""
    return JSONResponse({"error": sentence}, status_code=status)
