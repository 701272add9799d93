"""Under which conditions a test video is seen once more, and at which rates. No video is opened here."""

from __future__ import annotations

import dataclasses
import difflib

from cpml_jax import conditions
from cpml_jax.errors import UserError
from data_prep.corruptions import PARAMETERS

STRENGTHS = max(conditions.STRENGTHS)
HIGHEST_CRF = {"h264": 51, "h265": 51, "vp9": 63, "av1": 63}  # of libx264, libx265, libvpx-vp9, SVT-AV1

# Rates at which the four codecs need about as many bits, and H.264 the two of FaceForensics++ (23, 40). kbit/s of the
# file, mean of four drawn videos (real, Deepfakes, Face2Face, NeuralTextures; 160x160, 30 frames/s):
#   h264  220  75  24  11      h265  218  79  24  12      vp9  219  72  23  12      av1  208  78  25  12
RATES = {"h264": (18, 23, 31, 40), "h265": (12, 17, 26, 36), "vp9": (14, 28, 43, 58), "av1": (7, 18, 43, 61)}


@dataclasses.dataclass(frozen=True)
class Codec:
    """A re-encoding."""

    codec: str
    crf: int

    @property
    def name(self) -> str:
        return f"{self.codec}-crf{self.crf}"


@dataclasses.dataclass(frozen=True)
class Corruption:
    """A corruption, stored without loss."""

    corruption: str
    strength: int

    @property
    def name(self) -> str:
        return f"{self.corruption}-{self.strength}"


# What a protocol tests, unless it is told otherwise.
DEFAULTS = {
    "compression_curve": tuple(Codec(codec, crf).name for codec, rates in RATES.items() for crf in rates),
    "corruption": tuple(Corruption(c, s).name for c in PARAMETERS for s in range(1, STRENGTHS + 1)),
}


def parse(name: str) -> Codec | Corruption:
    """The variant of that name.

    Raises:
      UserError: there is none.
    """
    found = conditions.parse(name) or {}
    kind = found.pop("kind", None)
    if kind == "codec" and found["crf"] <= HIGHEST_CRF[found["codec"]]:
        return Codec(**found)
    if kind == "corruption":
        return Corruption(**found)
    near = difflib.get_close_matches(name, [known for names in DEFAULTS.values() for known in names], n=1)
    raise UserError(
        f"no variant {name!r}{f', did you mean {near[0]!r}?' if near else ''}; there are CODEC-crfN with the codecs "
        f"{', '.join(f'{codec} (0 to {most})' for codec, most in HIGHEST_CRF.items())}, and CORRUPTION-N (1 to "
        f"{STRENGTHS}) with {', '.join(PARAMETERS)}"
    )
