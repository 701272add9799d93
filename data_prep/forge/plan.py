"""Who is forged from whom: for each real clip, kind and copy a clip of another person of the same split.

In training everybody lends to everybody else, in turn. In validation and test people are paired, as in FaceForensics++
(three of an odd number together): an interval over people needs groups that share nobody (cpml_jax/metrics/people.py).
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from data_prep.forge.listing import RealVideo


@dataclasses.dataclass(frozen=True)
class Forgery:
    """A forged clip to make.

    Attributes:
      kind: of forge.kinds. name: of its files, target_source. seed: of what is drawn.
      target: who is seen. source: who lends a face, a movement or a pulse.
    """

    kind: str
    name: str
    seed: int
    target: RealVideo
    source: RealVideo


def forgeries(
    videos: Sequence[RealVideo], kinds: Sequence[str], copies: Mapping[str, int], seed: int
) -> dict[str, list[Forgery]]:
    """The forgeries of every real clip, by its name.

    Args:
      videos: that serve, of all splits. copies: of a kind, by split.
      seed: the same one gives the same forgeries of the same videos.
    """
    taken: set[tuple[str, str]] = set()
    result: dict[str, list[Forgery]] = {}
    for group, split in lenders(videos, seed):
        order = number_from(f"{seed}/{split}/{group[0][0].identity}")
        turns = np.random.default_rng(order).permutation(len(group) - 1) + 1
        for place, clips in enumerate(group):
            for clip, target in enumerate(clips):
                made = [(kind, copy) for kind in kinds for copy in range(copies[split])]
                result[target.video] = []
                for turn, (kind, _) in enumerate(made, clip):
                    others = group[(place + int(turns[turn % len(turns)])) % len(group)]
                    source = others[(turn // len(turns) + clip) % len(others)]
                    name = free_name(taken, kind, f"{target.video}_{source.video}")
                    result[target.video].append(
                        Forgery(kind, name, number_from(f"{seed}/{kind}/{name}"), target, source)
                    )
    return result


def lenders(videos: Sequence[RealVideo], seed: int) -> list[tuple[list[list[RealVideo]], str]]:
    """(people who lend to each other, each with his clips; their split)."""
    result = []
    for split in sorted({one.split for one in videos}):
        people: dict[str, list[RealVideo]] = {}
        for one in sorted(videos, key=lambda one: one.video):
            if one.split == split:
                people.setdefault(one.identity, []).append(one)
        names = sorted(people)
        chosen = np.random.default_rng(number_from(f"{seed}/{split}")).permutation(len(names))
        ordered = [people[names[number]] for number in chosen]
        width = len(ordered) if split == "train" else 2
        groups = [ordered[first : first + width] for first in range(0, len(ordered), width)]
        if len(groups) > 1 and len(groups[-1]) == 1:
            groups[-2:] = [groups[-2] + groups[-1]]
        result += [(group, split) for group in groups]
    return result


def number_from(text: str) -> int:
    """A number from 0 to 2^63 - 1 that depends on every sign of a text, the same on every machine."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big") >> 1


def free_name(taken: set[tuple[str, str]], kind: str, name: str) -> str:
    """The name, or name-2, name-3, ... where a kind has it already; it is taken now."""
    number, chosen = 1, name
    while (kind, chosen) in taken:
        number += 1
        chosen = f"{name}-{number}"
    taken.add((kind, chosen))
    return chosen
