"""PyTorch files -> arrays by name, without torch, and without executing what a pickle asks for.

Both formats of torch.save: the zip archive (torch >= 1.6: a folder with data.pkl, data/0, data/1, ...) and the older
one (a row of pickles, then the raw storages). The pickle is read by an unpickler that knows dictionaries, lists,
numbers, strings and tensors; a file that asks for any other name is refused by that name.
"""

from __future__ import annotations

import dataclasses
import io
import os
import struct
import zipfile

import numpy as np

from cpml_jax.errors import UserError
from cpml_jax.pretrained.torch_pickle import RESAVE, Refused, Tensor, plain, unpickle

WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network")  # keys under which trainers put the weights
MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001


@dataclasses.dataclass(frozen=True)
class TorchFile:
    """Contents of a file.

    Attributes:
      state: arrays by name, in the file's order and dtypes, read-only; a common prefix "module." is taken off.
      skipped: "name: kind" of everything else that is in the file, as "epoch: int".
    """

    state: dict[str, np.ndarray]
    skipped: list[str]


def read(path: str | os.PathLike) -> TorchFile:
    """Read a state dictionary, the file's content or under one of WRAPPERS.

    Raises:
      UserError: the file is missing, damaged, of another kind, asks for anything but tensors, or holds none.
    """
    where = os.fspath(path)
    try:
        with open(where, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            top = _read_any(file, size, where)
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{where}: no such file") from None
    except IsADirectoryError:
        raise UserError(f"{where}: a folder; give the PyTorch file in it") from None
    except OSError as error:
        raise UserError(f"{where}: cannot be read ({error.strerror or error})") from None
    # The bytes are not trusted: whatever the readers below raise, the file is what is wrong.
    except Exception as error:
        raise UserError(
            f"{where}: a damaged PyTorch file ({type(error).__name__}: {plain(error)}); get it again"
        ) from None
    return _state(top, where)


def _read_any(file: io.BufferedReader, size: int, where: str) -> object:
    try:
        start = file.read(512)
        file.seek(0)
        if start.startswith(b"PK\x03\x04"):
            return _read_zip(file, size)
        if start[257:262] == b"ustar":
            raise Refused("a tar archive of PyTorch before 0.1.10; load and save it with a newer PyTorch")
        if not start.startswith(b"\x80"):
            raise Refused(f"no PyTorch file; {RESAVE}")
        return _read_legacy(file, size)
    except Refused as error:
        raise UserError(f"{where}: {error}") from None


# --- the two formats ------------------------------------------------------------------------------------------


def _read_zip(file: io.BufferedReader, size: int) -> object:
    try:
        archive = zipfile.ZipFile(file)
    except zipfile.BadZipFile:
        raise Refused("a damaged or cut-off PyTorch file (zip); get it again") from None
    names = set(archive.namelist())
    pickles = [n for n in names if n.count("/") == 1 and n.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise Refused(f"a zip archive without a data.pkl: no PyTorch file; {RESAVE}")
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}constants.pkl" in names:
        raise Refused(f"a TorchScript program, not weights; {RESAVE}")

    def member(name: str) -> bytes:
        if name not in names:
            raise Refused(f"damaged: it has no {plain(name)}; get it again")
        info = archive.getinfo(name)
        # What torch writes; then nothing in the archive can be larger than the archive.
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise Refused(f"{plain(name)} in it is compressed, which PyTorch does not do; {RESAVE}")
        if info.file_size > size:
            raise Refused(f"damaged: {plain(name)} in it claims {info.file_size} bytes of {size}; get it again")
        try:
            return archive.read(name)
        except zipfile.BadZipFile:
            raise Refused(f"damaged, or saved without checksums: {plain(name)} in it is not what was written") from None

    if f"{folder}byteorder" in names and member(f"{folder}byteorder") != b"little":
        raise Refused("written by a big-endian machine, which is not read; save it again on another")
    top, claims = unpickle(io.BytesIO(member(pickles[0])))
    data = {}
    for key, claim in claims.items():
        data[key] = member(f"{folder}data/{key}")
        if len(data[key]) != claim.bytes:
            raise Refused(
                f"damaged: storage {plain(key)} has {len(data[key])} bytes instead of {claim.bytes}; get it again"
            )
    return _with_arrays(top, data)


def _read_legacy(file: io.BufferedReader, size: int) -> object:
    magic, _ = unpickle(file)
    if magic != MAGIC:
        raise Refused(f"a pickle, but no PyTorch file; {RESAVE}")
    protocol, _ = unpickle(file)
    system, _ = unpickle(file)
    if protocol != PROTOCOL or not isinstance(system, dict):
        raise Refused(f"PyTorch's older format in an unknown version ({plain(protocol)}); {RESAVE}")
    if not system.get("little_endian", True):
        raise Refused("written by a big-endian machine, which is not read; save it again on another")
    top, claims = unpickle(file)
    keys, _ = unpickle(file)
    if not isinstance(keys, list) or set(keys) != set(claims):
        raise Refused("damaged: its list of storages is not that of its tensors; get it again")
    data = {}
    for key in keys:
        header = file.read(8)
        count = struct.unpack("<q", header)[0] if len(header) == 8 else -1
        length = claims[key].bytes
        if count != claims[key].count or length > size:
            raise Refused(f"damaged or cut off at storage {plain(key)}; get it again")
        data[key] = file.read(length)
        if len(data[key]) != length:
            raise Refused(f"damaged or cut off in storage {plain(key)}; get it again")
    return _with_arrays(top, data)


# --- arrays ---------------------------------------------------------------------------------------------------


def _with_arrays(value: object, data: dict[str, bytes]) -> object:
    """Replace tensors by arrays, in a dictionary and in the dictionaries directly in it."""
    if isinstance(value, Tensor):
        return _array(value, data[value.storage.key])
    if not isinstance(value, dict):
        return value
    return {
        k: {i: _array(v, data[v.storage.key]) if isinstance(v, Tensor) else v for i, v in dict.items(item)}
        if isinstance(item, dict)
        else _with_arrays(item, data)
        for k, item in dict.items(value)
    }


def _array(tensor: Tensor, data: bytes) -> np.ndarray:
    """A read-only view of a storage's bytes."""
    dtype = tensor.storage.dtype
    if not all(tensor.shape):
        return np.zeros(tensor.shape, dtype)
    strides = tuple(step * dtype.itemsize for step in tensor.strides)
    kind = np.dtype("u1") if dtype.kind == "b" else dtype
    view = np.ndarray(tensor.shape, kind, data, tensor.offset * dtype.itemsize, strides)
    return np.asarray(view != 0) if dtype.kind == "b" else view


def _state(top: object, where: str) -> TorchFile:
    """Find the state dictionary in what the file holds."""
    if not isinstance(top, dict):
        raise UserError(f"{where}: holds a {_kind(top)} instead of a state dictionary; {RESAVE}")
    inner = [k for k in WRAPPERS if isinstance(top.get(k), dict) and any(map(_is_array, top[k].values()))]
    if len(inner) > 1:
        raise UserError(f"{where}: holds several state dictionaries, {inner}; save one of them alone")
    skipped = []
    if inner:
        skipped = [f"{plain(k)}: {_kind(v)}" for k, v in top.items() if k != inner[0]]
        top = top[inner[0]]
    state = {k: v for k, v in top.items() if isinstance(k, str) and _is_array(v)}
    skipped += [f"{plain(k)}: {_kind(v)}" for k, v in top.items() if k not in state]
    if not state:
        raise UserError(f"{where}: holds no tensors (but {skipped[:8]}); {RESAVE}")
    if all(k.startswith("module.") for k in state):  # torch's DataParallel
        state = {k.removeprefix("module."): v for k, v in state.items()}
    return TorchFile(state, skipped)


def _is_array(value: object) -> bool:
    return isinstance(value, np.ndarray)


def _kind(value: object) -> str:
    return "tensor" if isinstance(value, (Tensor, np.ndarray)) else type(value).__name__.lstrip("_")
