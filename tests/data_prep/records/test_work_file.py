"""Work files as packing sees them."""

import math
import pickle

import numpy as np
import pytest
import tiny

from cpml_jax import schema
from cpml_jax.errors import UserError
from data_prep.records import plain_file, work_file
from data_prep.video import jpeg
from tests.data_prep.records.shard_files import entries


def test_a_description_has_the_index_and_no_arrays(tmp_path):
    entries(tmp_path / "a.npz", 3)
    description = work_file.describe("faces", tmp_path / "a.npz")
    assert [row["video"] for row in description.rows] == ["000", "001", "002"]
    assert all(row.keys() == set(schema.INDEX_FIELDS) for row in description.rows)
    assert description.rows[1]["clip_id"] == "faces/real/raw/001/0"
    assert len({*description.digests}) == 3 and min(description.sizes) > 1000


def test_records_come_in_the_order_of_the_entries(tmp_path):
    both = entries(tmp_path / "a.npz", 2) + entries(tmp_path / "b.npz", 2)
    mixed = [both[3], both[0], both[1], both[2]]
    assert [record["clip_id"] for record in work_file.stream("faces", mixed)] == [entry.clip_id for entry in mixed]


def test_agreement_is_known_where_the_pulse_is():
    rng = np.random.default_rng(0)
    row = tiny.record(rng, jpeg, "train", "real", "raw", 0, 0)
    wave = rng.normal(size=tiny.NUM_FRAMES).astype(np.float32)
    assert work_file.agreement(row | {"pulse_truth": np.full_like(wave, np.nan)}) is None
    assert math.isclose(work_file.agreement(row | {"pulse_truth": wave, "pulse_pos": -2 * wave}), -1, abs_tol=1e-6)
    assert work_file.agreement(row | {"pulse_truth": wave, "pulse_pos": np.zeros_like(wave)}) == 0


def test_numbers_are_plain_and_nan_is_null():
    values = [work_file.plain(v) for v in (np.float32(0.5), np.int64(3), float("nan"), np.float64("inf"), "x", True)]
    assert values == [0.5, 3, None, None, "x", True] and pickle.dumps(values)


@pytest.mark.parametrize(
    "change",
    [
        {"split": "../../elsewhere"}, {"split": None}, {"method": 3}, {"frames": [1, 2]}, {"frames": None},
        {"landmarks": np.zeros((3, 68, 2))}, {"valid": np.zeros(tiny.NUM_FRAMES)}, {"label": "1"}, {"start_s": [0.0]},
        {"more": 1},
    ],
)  # fmt: skip
def test_a_record_that_is_none_is_refused_by_name(tmp_path, change):
    """A work file of somebody else is whole, and holds something else: no path and no shape is taken from it."""
    record = tiny.record(np.random.default_rng(0), jpeg, "train", "real", "raw", 0, 0)
    work_file.write(tmp_path / "a.npz", [record | change], [])
    with pytest.raises(UserError, match=r"a\.npz: no work file of this version.*delete it") as raised:
        work_file.read(tmp_path / "a.npz")
    assert "\n" not in str(raised.value)


def test_a_description_comes_back_as_it_was(tmp_path):
    entries(tmp_path / "a.npz", 2)
    description = work_file.describe("faces", tmp_path / "a.npz")
    work_file.write_description(tmp_path / "a.about", description)
    assert work_file.read_description(tmp_path / "a.about") == description
    plain_file.write(tmp_path / "a.about", {"rows": [], "sizes": [1], "digests": [], "agreements": [], "excluded": []})
    with pytest.raises(UserError, match=r"a\.about: no description of this version"):
        work_file.read_description(tmp_path / "a.about")
