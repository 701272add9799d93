"""Conditions: re-encodings and corruptions that test videos are seen under, their names and the rates to test at.

A name takes the place of a record's `compression`: `h264-crf28` is a re-encoding at a constant rate factor, `blur-3` a
corruption at strength 3 of 5; any other name is a compression of the data set (raw, c23, ...). data_prep/conditions
makes the videos; none is opened here.
"""

from __future__ import annotations

import dataclasses
import difflib
import re

from cpml_jax.errors import UserError
from cpml_jax.schema import compression_rank


@dataclasses.dataclass(frozen=True)
class Encoder:
    """Rate factors of a codec: the highest possible one, and those of the compression curve."""

    highest_crf: int
    curve: tuple[int, ...]


# Rates at which the four codecs need about as many bits, and H.264 the two of FaceForensics++ (23, 40). kbit/s of the
# file, mean of four drawn videos (real, Deepfakes, Face2Face, NeuralTextures; 160x160, 30 frames/s):
#   h264  220  75  24  11      h265  218  79  24  12      vp9  219  72  23  12      av1  208  78  25  12
CODECS: dict[str, Encoder] = {
    "h264": Encoder(51, (18, 23, 31, 40)),
    "h265": Encoder(51, (12, 17, 26, 36)),
    "vp9": Encoder(63, (14, 28, 43, 58)),
    "av1": Encoder(63, (7, 18, 43, 61)),
}
# FF++ names its compressions after libx264's constant rate factor. "raw" is CRF 1: near-lossless, and still High
# profile 4:2:0, which every decoder plays; CRF 0 would switch to the lossless High 4:4:4 profile, which many do not.
RAW_CRF = 1
CORRUPTIONS = ("jpeg", "blur", "noise", "downscale", "gamma", "blocks", "frames", "social")
STRENGTHS = (1, 2, 3, 4, 5)


@dataclasses.dataclass(frozen=True)
class Codec:
    """A re-encoding."""

    codec: str
    crf: int

    protocol = "compression_curve"

    @property
    def name(self) -> str:
        return f"{self.codec}-crf{self.crf}"

    def describe(self) -> dict[str, str | int]:
        """As evaluation.json has it."""
        return {"kind": "codec", "codec": self.codec, "crf": self.crf}


@dataclasses.dataclass(frozen=True)
class Corruption:
    """A corruption of the pictures, stored without loss."""

    corruption: str
    strength: int

    protocol = "corruption"

    @property
    def name(self) -> str:
        return f"{self.corruption}-{self.strength}"

    def describe(self) -> dict[str, str | int]:
        """As evaluation.json has it."""
        return {"kind": "corruption", "corruption": self.corruption, "strength": self.strength}


Condition = Codec | Corruption

# What a protocol tests by default.
DEFAULTS: dict[str, tuple[str, ...]] = {
    Codec.protocol: tuple(Codec(codec, crf).name for codec, encoder in CODECS.items() for crf in encoder.curve),
    Corruption.protocol: tuple(Corruption(name, strength).name for name in CORRUPTIONS for strength in STRENGTHS),
}


def parse(name: str) -> Condition | None:
    """The condition of that name; None for a compression of the data set."""
    codec = re.fullmatch(r"(\w+)-crf(0|[1-9]\d?)", name)
    if codec and codec[1] in CODECS and int(codec[2]) <= CODECS[codec[1]].highest_crf:
        return Codec(codec[1], int(codec[2]))
    corruption = re.fullmatch(r"(\w+)-(\d)", name)
    if corruption and corruption[1] in CORRUPTIONS and int(corruption[2]) in STRENGTHS:
        return Corruption(corruption[1], int(corruption[2]))
    return None


def constant_rate_factor(compression: str) -> int | None:
    """H.264's, of raw, c0, c1, ..., c51; None for any other name."""
    if compression == "raw":
        return RAW_CRF
    factor = compression_rank(compression)
    return factor if compression == f"c{factor}" and factor <= CODECS["h264"].highest_crf else None


def passes(compression: str) -> tuple[Codec, ...]:
    """What a compression of made videos asks for, in that order; empty for a name that means nothing.

    raw, c23, ... are H.264's; CODEC-crfN is any codec's; A+B is first A, then B: c23+c28.
    """
    result = []
    for name in compression.split("+"):
        factor, condition = constant_rate_factor(name), parse(name)
        if factor is not None:
            result.append(Codec("h264", factor))
        elif isinstance(condition, Codec):
            result.append(condition)
        else:
            return ()
    return tuple(result)


def named(name: str) -> Condition:
    """The condition of that name.

    Raises:
      UserError: no condition has it.
    """
    condition = parse(name)
    if condition is not None:
        return condition
    near = difflib.get_close_matches(name, [known for names in DEFAULTS.values() for known in names], n=1)
    raise UserError(
        f"no condition {name!r}{f', did you mean {near[0]!r}?' if near else ''}; there are CODEC-crfN with the codecs "
        f"{', '.join(f'{codec} (0 to {encoder.highest_crf})' for codec, encoder in CODECS.items())}, and CORRUPTION-N "
        f"({min(STRENGTHS)} to {max(STRENGTHS)}) with {', '.join(CORRUPTIONS)}"
    )


def protocol_of(name: str) -> str | None:
    """The protocol whose condition this is; None for a compression of the data set."""
    condition = parse(name)
    return None if condition is None else condition.protocol
