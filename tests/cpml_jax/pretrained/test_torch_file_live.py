"""PyTorch files read without torch, against torch: what it writes, and that it reads what torch_writer writes."""

import importlib

import numpy as np
import pytest
import torch_writer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch_writer import refused

from cpml_jax.pretrained import torch_file

pytestmark = pytest.mark.torch

DTYPES = (
    "float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool",
)  # fmt: skip
FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


class Late:
    """torch, imported when it is used: this file is read where it is not installed."""

    def __getattr__(self, name):
        return getattr(importlib.import_module("torch"), name)


torch = Late()


def saved(value, path, zipped=True, **options):
    torch.save(value, path, _use_new_zipfile_serialization=zipped, **options)
    return path


@st.composite
def tensors(draw):
    """A tensor, possibly a strided, shifted or repeated view of a larger storage."""
    dtype = getattr(torch, draw(st.sampled_from(DTYPES)))
    shape = draw(st.lists(st.integers(0, 4), max_size=4))
    base = torch.from_numpy(np.random.default_rng(draw(st.integers(0, 9))).integers(0, 100, (3, *shape, 2))).to(dtype)
    view = base[draw(st.integers(0, 2)), ..., draw(st.integers(0, 1))]
    kind = draw(st.sampled_from(["plain", "own", "turned", "stepped", "expanded", "parameter"]))
    if kind == "own":
        return view.clone()
    if kind == "turned" and view.ndim:
        return view.permute(*reversed(range(view.ndim)))
    if kind == "stepped" and view.ndim:
        return view[::2]
    if kind == "expanded":
        return view.unsqueeze(0).expand(3, *view.shape)
    if kind == "parameter" and view.is_floating_point():
        return torch.nn.Parameter(view)
    return view


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(state=st.dictionaries(st.text(max_size=4), tensors(), min_size=1, max_size=5), zipped=st.booleans(),
       protocol=st.sampled_from([2, 4, 5]))  # fmt: skip
def test_numbers_shapes_and_types_are_torchs(tmp_path, state, zipped, protocol):
    path = saved(state, tmp_path / "w.pt", zipped, pickle_protocol=protocol)
    ours = torch_file.read(path)
    names = [k.removeprefix("module.") for k in state] if all(k.startswith("module.") for k in state) else list(state)
    assert list(ours.state) == names and ours.skipped == []
    for array, tensor in zip(ours.state.values(), state.values(), strict=True):
        assert str(array.dtype) == str(tensor.dtype).removeprefix("torch.")
        np.testing.assert_array_equal(array.astype(np.float64), tensor.detach().double().numpy(), strict=True)


@FORMATS
def test_a_module_with_its_trainer_around_it(tmp_path, zipped):
    model = torch.nn.Sequential(torch.nn.Conv3d(2, 3, 1), torch.nn.BatchNorm3d(3), torch.nn.GRU(3, 2))
    wrapped = torch.nn.DataParallel(model)
    optimizer = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 1e-5}]}
    file = {"epoch": 3, "model": wrapped.state_dict(), "optimizer": optimizer, "note": "x\ny"}
    ours = torch_file.read(saved(file, tmp_path / "w.pt", zipped))
    assert ours.skipped == ["epoch: int", "optimizer: dict", "note: str"]
    expected = model.state_dict()
    assert list(ours.state) == list(expected)
    for name, tensor in expected.items():
        np.testing.assert_array_equal(ours.state[name], tensor.numpy())
    bare = torch_file.read(saved({**expected, "epoch": 3, "extra": {"a": 1}}, tmp_path / "bare.pt", zipped))
    assert bare.skipped == ["epoch: int", "extra: dict"] and list(bare.state) == list(expected)


def test_a_dictionary_whose_attributes_hide_its_methods(tmp_path):
    """What BUILD sets on an OrderedDict is forgotten."""
    state = torch.nn.Linear(2, 1).state_dict()
    state.get = None
    assert list(torch_file.read(saved(state, tmp_path / "w.pt")).state) == ["weight", "bias"]


@FORMATS
def test_whole_models_and_unknown_types(tmp_path, zipped):
    refused(saved(torch.nn.Linear(2, 1), tmp_path / "m.pt", zipped), "Linear", "state_dict")
    refused(saved({"w": torch.ones(2, dtype=torch.complex64)}, tmp_path / "c.pt", zipped), "ComplexFloatStorage")
    refused(saved({"w": torch.ones(2).to_sparse()}, tmp_path / "s.pt", zipped), "_rebuild_sparse_tensor")


@FORMATS
def test_torch_reads_what_the_tests_write(tmp_path, zipped):
    rng = np.random.default_rng(0)
    value = {
        "a": rng.normal(size=(3, 4)).astype(np.float32), "turned": rng.normal(size=(2, 5)).T, "none": np.zeros((0, 2)),
        "scalar": np.array(7, np.int64), "inner": {"b": rng.integers(0, 9, (2, 2, 2), np.int32)}, "epoch": 3,
    }  # fmt: skip
    theirs = torch.load(torch_writer.save(value, tmp_path / "w.pt", zipped), weights_only=True)
    assert theirs["epoch"] == 3 and theirs.keys() == value.keys()
    for key in ("a", "turned", "none", "scalar"):
        np.testing.assert_array_equal(theirs[key].numpy(), value[key], strict=True)
    np.testing.assert_array_equal(theirs["inner"]["b"].numpy(), value["inner"]["b"])
