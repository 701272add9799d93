"""Shapes in XLA's text, and the bytes that they take with their layout's padding."""

from __future__ import annotations

import dataclasses
import math
import re

# Memory spaces that are the device's main memory: 0, and on a GPU 1, which holds buffers of collectives. On a TPU 1 is
# on the chip (VMEM); 2 and above are semaphores and scalars there, and host memory on both.
MAIN_MEMORY = {"tpu": (0,), "gpu": (0, 1), "cpu": (0,)}

_ARRAY = re.compile(r"([a-z]\w*)\[([^\]]*)\](?:\{([^{}]*)\})?")
_TILE = re.compile(r"\(([\d,*]+)\)")


@dataclasses.dataclass(frozen=True)
class Shape:
    """An array's, or with `parts` a tuple's, which has no memory of its own.

    Attributes:
      text: dtype[sizes] without the layout.
      bytes: of the elements alone.
      padded: with the tiles' padding.
      space: memory space.
      parts: of a tuple.
    """

    text: str
    bytes: int = 0
    padded: int = 0
    space: int = 0
    parts: tuple[Shape, ...] | None = None

    @property
    def arrays(self) -> tuple[Shape, ...]:
        """Itself, or all arrays of the tuple."""
        return (self,) if self.parts is None else tuple(array for part in self.parts for array in part.arrays)


def parse_shape(text: str) -> Shape:
    """`bf16[4,256]{1,0:T(8,128)(2,1)S(1)}`, or `(...)` of such.

    Raises:
      ValueError: it is neither.
    """
    shape, end = _shape_at(re.sub(r"/\*.*?\*/", "", text).strip(), 0)
    return shape


def _shape_at(text: str, start: int) -> tuple[Shape, int]:
    if not text.startswith("(", start):
        found = _ARRAY.match(text, start)
        if not found:
            raise ValueError(f"no shape: {text[start : start + 80]!r}")
        return _array(found[1], found[2], found[3] or ""), found.end()
    parts, place = [], start + 1
    while text[place] != ")":
        if text[place] in ", ":
            place += 1
            continue
        part, place = _shape_at(text, place)
        parts.append(part)
    return Shape(f"({', '.join(part.text for part in parts)})", parts=tuple(parts)), place + 1


def _array(dtype: str, sizes: str, layout: str) -> Shape:
    dims = [int(size.strip("<= ")) for size in sizes.split(",") if size]
    order, _, rest = layout.partition(":")
    bits = bits_of(dtype)
    space = re.search(r"S\((\d+)\)", rest)
    tiles = [tile.split(",") for tile in _TILE.findall(rest[1 : _end_of_tiles(rest)])] if rest.startswith("T") else []
    physical = [dims[int(axis)] for axis in reversed([axis for axis in order.split(",") if axis])]
    padded = _padded(physical if len(physical) == len(dims) else dims, tiles)
    return Shape(f"{dtype}[{sizes}]", math.prod(dims) * bits // 8, padded * bits // 8, int(space[1]) if space else 0)


def _end_of_tiles(rest: str) -> int:
    """Where the parentheses that follow T end: T(8,128)(2,1)S(1)."""
    found = re.match(r"T(?:\([\d,*]+\))*", rest)
    return found.end() if found else 0


def bits_of(dtype: str) -> int:
    """bf16 -> 16; f8e4m3fn -> 8; pred is a byte, and tokens and opaque handles take nothing."""
    found = re.match(r"[a-z]+(\d+)", dtype)
    return int(found[1]) if found else 8 * (dtype == "pred")


def _padded(sizes: list[int], tiles: list[list[str]]) -> int:
    """Elements with padding: the last sizes, major to minor, filled up to whole tiles (a second tile divides a first).

    A tile with more sizes than the array puts it in the last ones; `*` is a size of any length.
    """
    if not tiles:
        return math.prod(sizes)
    tile = [0 if size == "*" else int(size) for size in tiles[0]]
    if len(tiles) > 1 and len(tiles[1]) == len(tile):
        tile = [
            _up(first, int(second)) if first and second != "*" else first
            for first, second in zip(tile, tiles[1], strict=True)
        ]
    sizes = [1] * (len(tile) - len(sizes)) + sizes
    whole = sizes[: len(sizes) - len(tile)]
    return math.prod(whole) * math.prod(_up(size, unit) for size, unit in zip(sizes[len(whole) :], tile, strict=True))


def _up(size: int, unit: int) -> int:
    return size if not unit else -(-size // unit) * unit
