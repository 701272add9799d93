"""The pickle inside a PyTorch file: dictionaries, lists, numbers, strings and tensors, and nothing else.

No code of a pickle's choice runs: every name that it asks for is looked up in a short table of this module's
stand-ins, and any other is refused.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

import ml_dtypes
import numpy as np

DTYPES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}
LARGEST_PICKLE = 1 << 28  # bytes; the pickle holds names and shapes, not numbers
LARGEST_EXPANSION = 1 << 24  # elements of a tensor that repeats its storage by strides of 0
# What torch.save writes, in any pickle protocol; whole models (NEWOBJ) only so that find_class can name their class.
OPCODES = frozenset(
    "PROTO FRAME STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT BINUNICODE "
    "SHORT_BINUNICODE BINUNICODE8 BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES EMPTY_DICT EMPTY_LIST EMPTY_TUPLE "
    "EMPTY_SET ADDITEMS FROZENSET TUPLE TUPLE1 TUPLE2 TUPLE3 APPEND APPENDS SETITEM SETITEMS "
    "BINPUT LONG_BINPUT BINGET LONG_BINGET MEMOIZE GLOBAL STACK_GLOBAL REDUCE NEWOBJ BUILD BINPERSID".split()
)
RESAVE = "torch.save(model.state_dict(), ...) writes a file that can be read"


class Refused(Exception):
    """The file asks for something that is not read; the message is for the user, without the file's name."""


def plain(value: object) -> str:
    """Text out of an untrusted file, as one line of at most 100 printable characters."""
    return ascii(str(value))[1:-1][:100]


class StorageType(NamedTuple):
    name: str


class Storage(NamedTuple):
    key: str
    dtype: np.dtype
    count: int

    @property
    def bytes(self) -> int:
        return self.count * self.dtype.itemsize


class Tensor(NamedTuple):
    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _OrderedDict(dict):
    """Stands in for OrderedDict, whose attributes (a module's _metadata) are of no use here."""

    def __setstate__(self, state: object) -> None:
        pass


class _Function:
    """A callable without attributes that a pickle could set."""

    __slots__ = ("call",)
    call: Callable[..., object]

    def __init__(self, call: Callable[..., object]) -> None:
        object.__setattr__(self, "call", call)

    def __setattr__(self, name: str, value: object) -> None:
        raise pickle.UnpicklingError("it sets attributes of a function")

    def __call__(self, *arguments: object) -> object:
        return self.call(*arguments)


def _whole(*values: object) -> bool:
    return all(type(v) is int and v >= 0 for v in values)


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_rest: object) -> Tensor:
    """torch._utils._rebuild_tensor_v2: what follows the strides is for training."""
    shape, strides = tuple(shape), tuple(strides)
    if not isinstance(storage, Storage) or not _whole(offset, *shape, *strides) or len(shape) != len(strides):
        raise Refused("damaged: a tensor whose shape is none; get it again")
    count = 1
    for length in shape:
        count *= length
    last = offset + sum((length - 1) * step for length, step in zip(shape, strides, strict=True))
    if count and last >= storage.count:
        raise Refused(
            f"damaged: a tensor {plain(shape)} reaches past its storage of {storage.count} numbers; get it again"
        )
    if count > max(storage.count, LARGEST_EXPANSION):
        raise Refused(f"a tensor {plain(shape)} of a storage of {storage.count} numbers is too large to be weights")
    return Tensor(storage, offset, shape, strides)


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="latin1")
        self.storages: dict[str, Storage] = {}
        self.known = {
            ("collections", "OrderedDict"): _Function(_OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2"): _Function(_rebuild_tensor),
            ("torch._utils", "_rebuild_parameter"): _Function(lambda data, *_rest: data),
            ("torch", "Size"): _Function(lambda sizes=(): tuple(sizes)),
        }

    def find_class(self, module: str, name: str) -> object:
        if module == "torch" and name in DTYPES:
            return StorageType(name)
        if (module, name) not in self.known:
            raise Refused(f"it asks for {plain(module)}.{plain(name)}, and only tensors are read; {RESAVE}")
        return self.known[module, name]

    def persistent_load(self, pid: Any) -> Storage:
        if not isinstance(pid, tuple) or not pid or pid[0] != "storage":
            kind = pid[0] if isinstance(pid, tuple) and pid else pid
            raise Refused(f"it asks for a {plain(kind)!r}, a whole model with its code; {RESAVE}")
        _, kind, key, _location, count, *view = pid
        if view not in ([], [None]):
            raise Refused(f"it holds views of storages, as PyTorch before 0.4 wrote them; {RESAVE}")
        if not isinstance(kind, StorageType) or not isinstance(key, str) or not _whole(count):
            raise Refused("damaged: a storage without type, key or size; get it again")
        storage = Storage(key, DTYPES[kind.name], count)
        if self.storages.setdefault(key, storage).bytes != storage.bytes:
            raise Refused(f"damaged: storage {plain(key)} has two sizes; get it again")
        return storage


def unpickle(file: BinaryIO) -> tuple[object, dict[str, Storage]]:
    """One pickle from where the file stands, and the storages that it speaks of."""
    start = file.tell()
    length = 0
    for opcode, argument, place in pickletools.genops(file):
        if opcode.name not in OPCODES:
            raise Refused(f"its pickle uses {opcode.name}, which weights do not need; {RESAVE}")
        length = (place or 0) - start  # a file gives every opcode its place
        # A memo is an array up to its largest index: the index must not be larger than what wrote it.
        if opcode.name in ("BINPUT", "LONG_BINPUT") and int(argument or 0) > length:
            raise Refused("damaged: its pickle counts wrongly; get it again")
        if length > LARGEST_PICKLE:
            raise Refused(f"its pickle has more than {LARGEST_PICKLE >> 20} MiB; {RESAVE}")
    file.seek(start)
    # The unpickler reads ahead: it gets exactly the bytes of this pickle, STOP included.
    unpickler = _Unpickler(io.BytesIO(file.read(length + 1)))
    return unpickler.load(), unpickler.storages
