"""Both formats of torch.save, of NumPy arrays in dictionaries and lists, without torch; shared by tests.

test_torch_file_live.py has torch itself read what is written here.
"""

from __future__ import annotations

import collections
import io
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cpml_jax.errors import UserError
from cpml_jax.pretrained import torch_file
from cpml_jax.pretrained.torch_pickle import DTYPES

KINDS = {dtype: name for name, dtype in DTYPES.items()}


class _Name:
    """Is pickled as a global, torch's, which need not exist here."""

    def __init__(self, module: str, name: str) -> None:
        self.line = f"c{module}\n{name}\n".encode()

    def __call__(self) -> None:
        raise AssertionError("only pickled")


class _Storage:
    def __init__(self, key: str, array: np.ndarray, repeated: bool) -> None:
        self.key, self.kind = key, KINDS[array.dtype]
        self.data = (array[(slice(1),) * array.ndim] if repeated else np.ascontiguousarray(array)).tobytes()
        self.count = len(self.data) // array.dtype.itemsize


class _Pickler(pickle._Pickler):
    """torch's: an array becomes a call that makes a tensor of a storage, which the pickle only names."""

    def __init__(self, file: io.BytesIO, legacy: bool) -> None:
        super().__init__(file, protocol=2)
        self.storages: list[_Storage] = []
        self._legacy = legacy

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if isinstance(obj, _Name):
            self.write(obj.line)
        else:
            super().save(obj, save_persistent_id)

    def persistent_id(self, obj: Any) -> tuple | None:
        if not isinstance(obj, _Storage):
            return None
        known = ("storage", _Name("torch", obj.kind), obj.key, "cpu", obj.count)
        return (*known, None) if self._legacy else known

    def reducer_override(self, obj: Any) -> Any:
        if not isinstance(obj, (np.ndarray, np.generic)):
            return NotImplemented
        obj = np.asarray(obj)
        repeated = obj.size > 0 and not any(obj.strides) and obj.ndim > 0  # one number, as torch's expand leaves it
        storage = _Storage(str(len(self.storages)), obj, repeated)
        self.storages.append(storage)
        strides = [0] * obj.ndim if repeated else [int(np.prod(obj.shape[i + 1 :])) for i in range(obj.ndim)]
        rest = (storage, 0, obj.shape, tuple(strides), False, collections.OrderedDict())
        return _Name("torch._utils", "_rebuild_tensor_v2"), rest


def save(value: Any, path: str | Path, zipped: bool = True) -> Path:
    """Write `value`; arrays of torch's types are its tensors. zipped: the format since torch 1.6, or the one before."""
    file = io.BytesIO()
    pickler = _Pickler(file, legacy=not zipped)
    pickler.dump(value)
    path, storages = Path(path), pickler.storages
    if zipped:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"{path.stem}/data.pkl", file.getvalue())
            archive.writestr(f"{path.stem}/byteorder", "little")
            for storage in storages:
                archive.writestr(f"{path.stem}/data/{storage.key}", storage.data)
            archive.writestr(f"{path.stem}/version", "3\n")
        return path
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    head = b"".join(pickle.dumps(part, 2) for part in (torch_file.MAGIC, torch_file.PROTOCOL, system))
    keys = pickle.dumps([storage.key for storage in storages], 2)
    tail = b"".join(struct.pack("<q", storage.count) + storage.data for storage in storages)
    path.write_bytes(head + file.getvalue() + keys + tail)
    return path


def refused(path, *words):
    """Reading the file is one line that names it and holds the words."""
    with pytest.raises(UserError) as caught:
        torch_file.read(path)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message
    for word in words:
        assert word in message, message
