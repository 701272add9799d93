"""What a stranger, a bad disk or a broken download does to a file's bytes; the same for a number every time."""

from __future__ import annotations

import numpy as np

KINDS = ("bit", "bits", "cut", "noise", "zeros", "doubled", "swapped", "missing", "large")


def mutated(data: bytes, number: int) -> tuple[str, bytes]:
    """(kind, bytes) of mutation `number`, of KINDS in turn.

    Half of them hit the first or last 2 kB, where containers keep what they say of themselves.
    """
    rng = np.random.default_rng(number)
    kind, whole = KINDS[number % len(KINDS)], bytearray(data)
    size = len(whole)
    if size < 64:
        return "cut", data[: number % (size + 1)]

    def place() -> int:
        where = rng.random()
        near = int(rng.integers(min(size, 2048)))
        return near if where < 0.25 else size - 1 - near if where < 0.5 else int(rng.integers(size))

    def span() -> slice:
        start = place()
        return slice(start, min(size, start + int(rng.integers(1, max(2, size // 10)))))

    if kind == "bit":
        whole[place()] ^= 1 << int(rng.integers(8))
    elif kind == "bits":
        for _ in range(int(rng.integers(2, 200))):
            whole[place()] ^= 1 << int(rng.integers(8))
    elif kind == "cut":
        del whole[place() :]
    elif kind == "noise":
        where = span()
        whole[where] = rng.bytes(where.stop - where.start)
    elif kind == "zeros":
        where = span()
        whole[where] = bytes(where.stop - where.start)
    elif kind == "doubled":
        where, at = span(), place()
        whole[at:at] = whole[where]
    elif kind == "swapped":
        a, b = span(), span()
        whole[a], whole[b] = bytes(whole[b]), bytes(whole[a])
    elif kind == "missing":
        del whole[span()]
    else:  # a number of four bytes becomes the largest there is
        where = place() & ~3
        whole[where : where + 4] = [b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f"][int(rng.integers(3))]
    return kind, bytes(whole)
