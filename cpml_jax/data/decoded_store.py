"""Clips kept decoded on disk, as the model reads them, so that no run decodes a clip twice (data.decoded).

A clip of 128 frames is 6.4 MB at 128 pixels, eight times its JPEG files, and 0.5 MB at 32 pixels. How much faster it is
to read than to decode: docs/scaling.md, Feeding it.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cpml_jax.console import inform
from cpml_jax.data.batch import Clip, Layout, clip_layout
from cpml_jax.data.input_size import InputSize
from cpml_jax.data.records import INDEX, SUMMARY, RecordSet
from cpml_jax.files import write_whole

_SUM = 4  # bytes of a CRC-32


class DecodedStore:
    """A folder of a record set's clips at one InputSize: a file each, its arrays one after another and their
    CRC-32, without a header: a bit that has changed on the disk must not change training. It is compared when a process
    first reads a clip: at 4.2 GB/s of one core it would make every later epoch's reading half as slow again.

    What is in a folder is decided by its name, a hash of the records, of the arrays' shapes, and of the code that
    makes them: it is never out of date. Several processes may use it at once.
    """

    def __init__(self, folder: Path, records: RecordSet, size: InputSize):
        self._layout: Layout = clip_layout(size) | {"pulse_truth": ((size.num_frames,), np.dtype(np.float32))}
        self._bytes = sum(np.dtype(dtype).itemsize * int(np.prod(shape)) for shape, dtype in self._layout.values())
        self._bytes += _SUM
        digest = hashlib.sha256(repr((size.still_places, sorted(self._layout.items()))).encode())
        for file in (*(records.directory / name for name in (SUMMARY, INDEX)), *_code()):
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        self.folder = folder / f"{records.name}-{digest.hexdigest()[:16]}"
        self._writes = True
        self._compared: set[str] = set()

    def _file(self, clip_id: str) -> Path:
        return self.folder / hashlib.sha256(clip_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def load(self, clip_id: str, place: Mapping[str, np.ndarray]) -> Clip | None:
        """A clip (ClipReader), read into the arrays that `place` has, or into new ones; None if it is not kept."""
        try:
            with self._file(clip_id).open("rb", buffering=0) as file:
                if file.seek(0, 2) != self._bytes:
                    return None  # another program's, or cut off by a power failure
                file.seek(0)
                clip, found, compared = {}, 0, clip_id in self._compared
                for name, (shape, dtype) in self._layout.items():
                    clip[name] = place[name] if name in place else np.empty(shape, dtype)
                    if file.readinto(clip[name].data.cast("B")) != clip[name].nbytes:
                        return None
                    found = found if compared else zlib.crc32(clip[name].data.cast("B"), found)
                if not compared and file.read(_SUM) != found.to_bytes(_SUM, "little"):
                    return None
                self._compared.add(clip_id)
                return clip
        except OSError:
            return None

    def save(self, clip_id: str, clip: Clip) -> None:
        """Keep a clip. Where nothing can be written, a line says so, once, and training decodes on."""
        if not self._writes:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            data = b"".join(clip[name].tobytes() for name in self._layout)
            write_whole(self._file(clip_id), data + zlib.crc32(data).to_bytes(_SUM, "little"))
        except OSError as error:
            self._writes = False
            inform(f"data.decoded: no further clip is kept in {self.folder} ({error.strerror}); they are decoded anew")


def _code() -> list[Path]:
    """The code that decides what a clip's arrays are."""
    return sorted(Path(__file__).parent.glob("*.py"))
