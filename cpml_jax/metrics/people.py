"""Which clips are independent: those that share no person, directly or through others.

A fake shows its target's face and its source's, and is alike both persons' real videos and every other fake of
either. Only clips of different connected groups of identities are independent of each other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Integer, Num, Shaped

# Of every clip: a tuple of the identities that it shows; anything else hashable is one identity.
People = Shaped[np.ndarray, " N"] | Sequence[Hashable]

FEWEST_GROUPS = 3  # the variance below needs G - 2 > 0
FEWEST_IDENTITIES = 6  # two pairs, forged in both directions, are four identities and still only two observations


def people_of(row: Mapping[str, Any]) -> tuple[Hashable, ...]:
    """Whom a clip of the index or of scores.jsonl shows; one of unknown identity stands for its video alone."""
    known = tuple(row[key] for key in ("identity", "source_identity") if row.get(key))
    return known or (row["video_key"],)


def connected_groups(people: People) -> Integer[np.ndarray, " N"]:
    """The connected group of every clip (N,) int64, numbered from 0.

    Two identities are connected if a clip shows both: 000_003 and 003_000 with the real videos 000 and 003 are one
    group of FaceForensics++, whose test split has 70.
    """
    from scipy.sparse import csgraph, csr_array  # a second, which nothing else here is worth

    clip, identity = _shown(people)
    if not len(clip):
        return np.zeros(0, np.int64)
    first = np.zeros(int(clip.max()) + 1, np.int64)
    first[clip[::-1]] = identity[::-1]  # of several, the last assignment stays: the first identity of every clip
    count = int(identity.max()) + 1
    graph = csr_array((np.ones(len(clip)), (identity, first[clip])), shape=(count, count))
    return csgraph.connected_components(graph, directed=False)[1].astype(np.int64)[first]


def _shown(people: People) -> tuple[np.ndarray, np.ndarray]:
    """(clip, identity) (M,) int64 each: an entry for every identity that a clip shows; identities are numbered."""
    tuples = [shown if isinstance(shown, tuple) else (shown,) for shown in people]
    entries = [(clip, one) for clip, shown in enumerate(tuples) for one in dict.fromkeys(shown)]
    numbers = {one: number for number, one in enumerate(dict.fromkeys(one for _, one in entries))}
    clip, identity = [clip for clip, _ in entries], [numbers[one] for _, one in entries]
    return np.asarray(clip, np.int64), np.asarray(identity, np.int64)


@dataclasses.dataclass(frozen=True)
class Units:
    """What is left out, one after the other, to see how much a figure varies with the choice of people.

    Attributes:
      clip, unit: (M,) int64, the clips that every unit holds: one entry a clip for connected groups, which are
        disjoint; one for each identity that a clip shows where units are identities.
      count: of units.
      note: how intervals over these units are to be read, or None.
    """

    clip: Integer[np.ndarray, " M"]
    unit: Integer[np.ndarray, " M"]
    count: int
    note: str | None = None

    def total(self, values: Num[np.ndarray, " N"]) -> Num[np.ndarray, " units"]:
        """The sum of the clips' values (N,) in every unit."""
        return np.bincount(self.unit, weights=values[self.clip], minlength=self.count)


def units_of(people: People) -> tuple[Units | None, str | None]:
    """The units of some clips, or None with the reason.

    Connected groups, unless one of them holds more than half of the clips (Celeb-DF, where every person is swapped
    with many). Then identities are left out one by one, each with every clip that shows it: clips of two persons are
    left out twice, which counts their own variation twice, and dependence through a third person is missed.
    """
    groups = connected_groups(people)
    count = int(groups.max()) + 1 if len(groups) else 0
    if count >= FEWEST_GROUPS and 2 * np.bincount(groups).max() <= len(groups):
        return Units(np.arange(len(groups)), groups, count), None
    clip, identity = _shown(people)
    identities = int(identity.max()) + 1 if len(identity) else 0
    if identities < FEWEST_IDENTITIES:
        return None, f"no interval: {count} independent {'group' if count == 1 else 'groups'} of identities"
    note = (
        f"interval over {identities} identities, left out one by one: most clips form one connected group of "
        "identities, and no independent groups are left"
    )
    return Units(clip, identity, identities, note), None
