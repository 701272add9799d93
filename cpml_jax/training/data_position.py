"""Where the data is at, as one file of a checkpoint that any number of processes can read.

Grain's own file is of one process among so many, and another number of processes cannot read it. But every process of a
run is at the same step, of which it takes its share (input_pipeline.training_batches): process 0 speaks for all.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax

if TYPE_CHECKING:  # half a second, and scoring reads no data by it
    import grain

NAME = "process_0-of-1.json"  # Grain's name for it, which checkpoints before 0.3 have too
OTHERS = "process_0-of-*.json"  # of several processes, before 0.3


class Position:
    """An iterator's position, as Orbax saves and loads it (its StatefulCheckpointable)."""

    def __init__(self, data: grain.DatasetIterator) -> None:
        self._data = data

    async def save(self, directory: Any) -> Awaitable[None]:
        """Directory: Orbax's PathAwaitingCreation. The position is that of this call."""
        state = json.dumps(self._data.get_state(), indent=4)

        async def write() -> None:
            folder = Path(await directory.await_creation())
            if jax.process_index() == 0:
                await asyncio.to_thread((folder / NAME).write_text, state)

        return write()

    async def load(self, directory: Any) -> Awaitable[None]:
        """Directory: a path. The iterator is moved once the result is awaited."""
        folder = Path(directory)

        async def read() -> None:
            path = min([*folder.glob(NAME), *folder.glob(OTHERS)], default=folder / NAME)
            self._data.set_state(json.loads(await asyncio.to_thread(path.read_text)))

        return read()
