"""What feeding an accelerator takes: the arithmetic, and that the three ways read the same clips."""

import numpy as np
import pytest
import tiny

from benchmarks import input as bench
from cpml_jax.data.clip_reader import ClipReader
from cpml_jax.data.decoded_store import DecodedStore
from cpml_jax.data.input_pipeline import training_batches
from cpml_jax.data.records import RecordSet


def test_cores_are_frames_over_time_and_rate():
    rates = {"opencv": 5_000.0, "records": 10_000.0, "decoded": 100_000.0}
    # 2 x 32 x 160 = 10,240 frames in 40 ms: 256,000 frames/s
    cores = bench.needed_cores(rates.__getitem__, pairs=32, frames=160, step_ms=40.0)
    assert cores == pytest.approx({"opencv": 51.2, "records": 25.6, "decoded": 2.56})


@pytest.mark.parametrize("pixels", [128, 16])
def test_the_three_ways_give_the_same_batches(tiny_records, tmp_path, pixels):
    records = RecordSet(tiny_records / "faces")
    size = tiny.input_size(frame_size=pixels, inputs=("frames", "landmarks"))
    store = DecodedStore(tmp_path, records, size)
    readers = (bench.OpenCVReader(records, size), ClipReader(records, size), ClipReader(records, size, store=store))
    sampler = bench.InTurn(records.rows)
    given = [list(training_batches(reader, sampler, steps=2, read_threads=2)) for reader in readers]
    for batches in given[1:]:
        for batch, expected in zip(batches, given[0], strict=True):
            for name in expected:
                np.testing.assert_array_equal(batch[name], expected[name], err_msg=name)
