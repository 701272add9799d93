import asyncio
import json

import grain
import pytest

from cpml_jax.training.data_position import Position


class Created:
    """Orbax's folder that is being made."""

    def __init__(self, folder):
        self._folder = folder

    async def await_creation(self):
        return self._folder


def numbers():
    return iter(grain.MapDataset.range(20).to_iter_dataset())


def save(data, folder):
    async def both():
        writing = await Position(data).save(Created(folder))
        next(data)  # training goes on; the position is that of the call
        await writing

    asyncio.run(both())


def load(data, folder):
    async def both():
        await (await Position(data).load(folder))

    asyncio.run(both())
    return next(data)


def test_what_one_process_writes_another_number_of_processes_reads(tmp_path, monkeypatch):
    data = numbers()
    assert [next(data) for _ in range(3)] == [0, 1, 2]
    save(data, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["process_0-of-1.json"]
    monkeypatch.setattr("jax.process_index", lambda: 3)
    monkeypatch.setattr("jax.process_count", lambda: 4)
    assert load(numbers(), tmp_path) == 3
    (tmp_path / "process_0-of-1.json").unlink()
    save(data, tmp_path)
    assert not list(tmp_path.iterdir()), "process 0 writes for all"


def test_positions_of_earlier_versions_are_read(tmp_path):
    """Theirs had a file a process, of the same state each."""
    for process in range(2):
        (tmp_path / f"process_{process}-of-2.json").write_text(json.dumps({"next_index": 7}))
    assert load(numbers(), tmp_path) == 7


def test_a_checkpoint_without_a_position_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(numbers(), tmp_path)
