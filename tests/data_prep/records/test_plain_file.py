"""What goes in comes out to the bit; no file of somebody else's runs code, or takes more memory than its size."""

import json
import os
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cpml_jax.errors import UserError
from data_prep.records import plain_file

NUMBERS = st.one_of(st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.none())
TEXTS = st.text(st.characters(exclude_categories=()), max_size=8)  # lone surrogates are names of files too
ARRAYS = hnp.arrays(
    st.sampled_from(["<f4", "<f8", "<i8", "u1", "?", ">i4"]), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0)
)
SCALARS = st.builds(np.float32, st.floats(width=32)) | st.builds(np.int64, st.integers(-9, 9))
LEAVES = st.one_of(NUMBERS, TEXTS, ARRAYS, SCALARS, st.lists(st.binary(max_size=9), min_size=1))
KEYS = TEXTS.filter(lambda key: not key.startswith("$"))
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3))


def same(one, other) -> bool:
    if isinstance(one, (np.ndarray, np.generic)):
        return type(one) is type(other) and one.dtype == other.dtype and one.shape == other.shape and (
            one.tobytes() == other.tobytes()
        )  # fmt: skip
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and (one == other or (one != one and other != other))


@settings(max_examples=150, deadline=None)
@given(TREES)
def test_it_comes_back_to_the_bit(tmp_path_factory, value):
    file = tmp_path_factory.getbasetemp() / "value.npz"
    plain_file.write(file, value)
    back = plain_file.read(file)
    # A 0-d array comes back as the scalar that it holds.
    assert same(np.asarray(value)[()] if isinstance(value, np.ndarray) and not value.ndim else value, back) or (
        isinstance(value, (list, dict))
    )
    plain_file.write(file, back)
    assert same(plain_file.read(file), back)


def test_arrays_may_be_written_to_and_keep_their_order(tmp_path):
    plain_file.write(tmp_path / "a", {"x": np.asfortranarray(np.arange(6.0).reshape(2, 3))})
    array = plain_file.read(tmp_path / "a")["x"]
    array[0, 0] = 9
    assert array.flags.f_contiguous and array.tolist() == [[9, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("value", [{1: "x"}, {"$array": "0"}, {"x": object()}, b"alone", {"x": np.array([None])}])
def test_what_it_cannot_hold_is_never_written(tmp_path, value):
    with pytest.raises((TypeError, ValueError)):
        plain_file.write(tmp_path / "a", value)
    assert not list(tmp_path.iterdir())


class Marker:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_is_refused_and_runs_nothing(tmp_path):
    ran, file = tmp_path / "ran", tmp_path / "a.npz"
    objects = np.empty(1, object)
    objects[0] = Marker(ran)
    for write in (
        lambda: file.write_bytes(pickle.dumps(([Marker(ran)], []))),
        lambda: np.savez(file, tree=objects),
        lambda: np.savez(file, **{"tree": np.frombuffer(b'{"$array":"0","of":"numpy"}', np.uint8), "0": objects}),
    ):
        write()
        with pytest.raises(UserError, match=r"a\.npz: damaged, or no file of this version.*makes it anew"):
            plain_file.read(file)
        assert not ran.exists()


def test_a_member_that_claims_more_than_the_file_holds_is_refused(tmp_path):
    file = tmp_path / "a.npz"
    np.savez_compressed(file, tree=np.zeros(1 << 26, np.uint8))  # 64 MiB in 64 KiB
    with pytest.raises(UserError):
        plain_file.read(file)
    with zipfile.ZipFile(file, "w") as archive:
        header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (%d,), }" % (1 << 50)
        archive.writestr("tree.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"{}")
    with pytest.raises(UserError):
        plain_file.read(file)


def test_every_damaged_byte_is_noticed_or_of_no_matter(tmp_path):
    """Bits, cuts: never another value."""
    file, rng = tmp_path / "a.npz", np.random.default_rng(0)
    value = {"frames": [b"abc", b"de"], "x": np.arange(4, dtype=np.float32), "text": "é", "n": float("nan")}
    plain_file.write(file, value)
    whole, refused = file.read_bytes(), 0
    for _ in range(400):
        damaged = bytearray(whole)
        if rng.random() < 0.2:
            del damaged[int(rng.integers(len(whole))) :]
        else:
            damaged[int(rng.integers(len(whole)))] ^= 1 << int(rng.integers(8))
        file.write_bytes(damaged)
        try:
            assert same(plain_file.read(file), value)
        except UserError:
            refused += 1
    assert refused > 300


@pytest.mark.parametrize(
    "tree",
    ["[" * 100_000, '{"$bytes":"9","lengths":[1]}', '{"$bytes":"0","lengths":[-1,2]}', '{"$array":7}', "\\", "5 5"],
)
def test_hostile_text_is_one_line(tmp_path, tree):
    file = tmp_path / "a.npz"
    np.savez(file, **{"tree": np.frombuffer(tree.encode(), np.uint8), "0": np.zeros(1, np.uint8)})
    with pytest.raises(UserError) as raised:
        plain_file.read(file)
    assert "\n" not in str(raised.value)


def test_its_text_is_json(tmp_path):
    plain_file.write(tmp_path / "a.npz", {"x": [1, "y"]})
    with np.load(tmp_path / "a.npz", allow_pickle=False) as members:
        assert json.loads(members["tree"].tobytes()) == {"x": [1, "y"]}
