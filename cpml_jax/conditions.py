"""What was done to a video before it was tested: the names of re-encodings and corruptions, and what they mean.

A name is the `compression` of a record: `h264-crf28` is a re-encoding at a constant rate factor, `blur-3` a corruption
at strength 3 of 5; anything else is the data set's own (raw, c23, ...).
"""

from __future__ import annotations

import re

CODECS = ("h264", "h265", "vp9", "av1")
CORRUPTIONS = ("jpeg", "blur", "noise", "downscale", "gamma", "blocks", "frames", "social")
STRENGTHS = (1, 2, 3, 4, 5)
_PROTOCOLS = {"codec": "compression_curve", "corruption": "corruption"}


def parse(name: str) -> dict | None:
    """{kind: codec, codec, crf} or {kind: corruption, corruption, strength}; None for a data set's own compression."""
    codec = re.fullmatch(r"(\w+)-crf(0|[1-9]\d?)", name)
    if codec and codec[1] in CODECS:
        return {"kind": "codec", "codec": codec[1], "crf": int(codec[2])}
    corruption = re.fullmatch(r"(\w+)-(\d)", name)
    if corruption and corruption[1] in CORRUPTIONS and int(corruption[2]) in STRENGTHS:
        return {"kind": "corruption", "corruption": corruption[1], "strength": int(corruption[2])}
    return None


def protocol_of(name: str) -> str | None:
    """The protocol whose variant this is; None for what is no variant."""
    condition = parse(name)
    return condition and _PROTOCOLS[condition["kind"]]
