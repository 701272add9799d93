"""Arrays, numbers and text in one file that runs nothing when it is opened: an npz, its structure as JSON in it.

Work folders travel between people, and a pickle runs whatever its writer chose. Each array is a member of the npz, a
list of bytes is one with the lengths beside it, and everything else is in the JSON. An array, a NumPy scalar and NaN
come back as they went in, to the bit; tuples come back as lists.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from cpml_jax.errors import UserError
from cpml_jax.files import write_whole

TREE = "tree"  # the member with the JSON
ARRAY, BYTES = "$array", "$bytes"  # keys of the JSON objects that stand for members
# What a file may raise that is none of ours: zipfile, NumPy's header and JSON each raise their own kinds.
DAMAGED = (
    AttributeError, EOFError, IndexError, KeyError, NotImplementedError, OverflowError, RecursionError, RuntimeError,
    SyntaxError, TypeError, ValueError, zipfile.BadZipFile,
)  # fmt: skip


def write(path: Path, value: Any) -> None:
    """Dicts of text keys, lists, bytes in lists, text, numbers, None and NumPy arrays, whole or not at all.

    Raises:
      TypeError: something else.
    """
    arrays: dict[str, np.ndarray] = {}
    tree = json.dumps(_taken_apart(value, arrays), separators=(",", ":"))
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **{TREE: np.frombuffer(tree.encode(), np.uint8)}, **arrays)
    write_whole(path, file.getbuffer())


def read(path: Path) -> Any:
    """What `write` wrote.

    Raises:
      UserError: a file of another kind, or a damaged one; the members' checksums are compared.
      OSError: it cannot be opened.
    """
    data = path.read_bytes()
    try:
        members = _members(data)
        return _put_together(json.loads(members.pop(TREE).tobytes()), members)
    except DAMAGED as error:
        raise UserError(
            f"{path}: damaged, or no file of this version ({type(error).__name__}); delete it, and the same "
            "command makes it anew"
        ) from None


def _taken_apart(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """The JSON of a value; its arrays are added to `arrays`."""
    if isinstance(value, dict):
        if wrong := [key for key in value if not isinstance(key, str) or key.startswith("$")]:
            raise TypeError(f"{wrong[0]!r} is no key")
        return {key: _taken_apart(item, arrays) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        if value and all(isinstance(item, bytes) for item in value):
            lengths = [len(item) for item in value]
            return {BYTES: _added(np.frombuffer(b"".join(value), np.uint8), arrays), "lengths": lengths}
        return [_taken_apart(item, arrays) for item in value]
    if isinstance(value, (np.ndarray, np.generic)) or (isinstance(value, float) and not math.isfinite(value)):
        kind = "python" if isinstance(value, float) and not isinstance(value, np.generic) else "numpy"
        return {ARRAY: _added(np.asarray(value), arrays), "of": kind}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{type(value).__name__}: neither an array nor text nor a number")


def _added(array: np.ndarray, arrays: dict[str, np.ndarray]) -> str:
    name = str(len(arrays))
    arrays[name] = array
    return name


def _put_together(tree: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(tree, list):
        return [_put_together(item, arrays) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if BYTES in tree:
        data, lengths = arrays[tree[BYTES]].tobytes(), tree["lengths"]
        if min(lengths) < 0 or sum(lengths) != len(data):
            raise ValueError("lengths")
        ends = np.cumsum(lengths).tolist()
        return [data[end - length : end] for end, length in zip(ends, lengths, strict=True)]
    if ARRAY in tree:
        array = arrays[tree[ARRAY]]
        if array.ndim:
            return array
        return array.item() if tree["of"] == "python" else array[()]
    return {key: _put_together(item, arrays) for key, item in tree.items()}


def _members(data: bytes) -> dict[str, np.ndarray]:
    """The arrays of an npz, each compared with its checksum; nothing larger than the file is made of it."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = archive.infolist()
        if any(info.compress_type != zipfile.ZIP_STORED for info in infos) or sum(i.file_size for i in infos) > len(
            data
        ):
            raise ValueError("compressed")
        return {info.filename.removesuffix(".npy"): _array(archive.read(info)) for info in infos}


def _array(member: bytes) -> np.ndarray:
    """A .npy file's array, which may be written to."""
    file = io.BytesIO(member)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("version")
    shape, in_columns, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.hasobject or min(shape, default=0) < 0:
        raise ValueError("objects")
    if math.prod(shape) * dtype.itemsize != len(member) - file.tell():
        raise ValueError("length")
    flat = (
        np.frombuffer(member, dtype, offset=file.tell()) if dtype.itemsize and math.prod(shape) else np.empty(0, dtype)
    )
    return flat.reshape(shape, order="F" if in_columns else "C").copy("K")
