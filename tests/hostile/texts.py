"""Strategies: a valid text or JSON document, changed as somebody's editor, script or ill will would change it."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import strategies as st

MARKUP = "<script>alert(1)</script><img src=x onerror=alert(2)>&'\"</style>"
PIECES = (
    "", "\0", "\n", "\r\n", '"', "'", ",", ",,,,,,", ";", "[" * 100_000, "{", "]", "}", "null", "true", "NaN", "1e999",
    "-1",
    "9" * 400, "9" * 5000, "../../../etc/passwd", "/", "real", "fake", "train", MARKUP, "\ufeff", "\u202e", "\u2028",
    "x" * 200_000, "{}", "[]", "=1+1", "\x1b[2J", "%s{}", "é",
)  # fmt: skip
VALUES = (
    None, True, False, 0, 1, -1, 2, 10**18, 10**400, 0.5, 1e308, -1e308, float("nan"), float("inf"), "", "real", "0.5",
    MARKUP, "\n", "\0", "\ud800", "x" * 3000, [], {}, [[]], [None], [[], {}], {"": {}}, {"real": []}, [0.1, 0.2],
    [1, -1], ["a", "b"],
)  # fmt: skip
PIECE = st.sampled_from(PIECES).map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=6)


@st.composite
def edited(draw: st.DrawFn, text: str) -> bytes:
    """A file's bytes after some edits: a part gone, or in its place something else; or a line twice."""
    data = text.encode()
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data)))
        length = draw(st.sampled_from((0, 0, 1, 4, 30)))
        if draw(st.booleans()):
            data = data[:place] + draw(PIECE) + data[place + length :]
        else:
            lines = data.splitlines(keepends=True) or [b""]
            at = draw(st.integers(0, len(lines) - 1))
            data = b"".join(lines[:at] + [lines[at]] * draw(st.sampled_from((0, 2))) + lines[at + 1 :])
    return data


@st.composite
def changed(draw: st.DrawFn, document: Any, times: int = 3) -> Any:
    """A JSON document some of whose values, at any depth, are something else or gone, or whose keys are."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, times))):
        holder, key = None, None
        at = document
        for _ in range(draw(st.integers(1, 8))):
            keys = list(at) if isinstance(at, dict) else list(range(len(at))) if isinstance(at, list) else []
            if not keys:
                break
            holder, key = at, draw(st.sampled_from(keys))
            at = holder[key]
        value = copy.deepcopy(draw(st.sampled_from(VALUES)))
        if holder is None:
            return value
        if draw(st.integers(0, 3)) or isinstance(holder, list):
            holder[key] = value
        else:
            del holder[key]
            if draw(st.booleans()):
                holder[draw(st.sampled_from((MARKUP, "", "\n", "x")))] = value
    return document


def as_json(value: Any) -> str:
    """Also of what JSON has not, as Python writes and reads it: NaN."""
    return json.dumps(value)
