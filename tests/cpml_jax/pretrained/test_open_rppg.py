"""open-rppg's PhysFormer: waves of its own Keras model, recorded by tests/goldens/record_open_rppg.py."""

import importlib.metadata
import types
from pathlib import Path

import jax
import keras_weights
import numpy as np
import pytest
import tiny

from cpml_jax.errors import UserError
from cpml_jax.models.physformer import PhysFormer, normalise
from cpml_jax.pretrained import open_rppg

WAVES = np.load(Path(__file__).parents[2] / "goldens/open_rppg.npz")
MODEL = PhysFormer(**tiny.settings("rppg") | open_rppg.SETTINGS)


@pytest.fixture(scope="module")
def shapes():
    clip = keras_weights.clip()[None]
    return jax.eval_shape(lambda: MODEL.init(jax.random.key(0), clip, train=False, downsampled=("half",)))


@pytest.fixture(scope="module")
def arrays():
    return keras_weights.arrays()


@pytest.fixture(scope="module")
def made(arrays, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "made.weights.h5"
    keras_weights.write(path, arrays)
    return path


@pytest.fixture(scope="module")
def wave():
    clip = keras_weights.clip()[None]
    return jax.jit(lambda variables: MODEL.apply(variables, clip, train=False)[0][0])


def assert_wave(wave, loaded, name: str) -> None:
    ours = np.asarray(wave({"params": loaded.params, "batch_stats": loaded.batch_stats}), np.float64)
    ours = (ours - ours.mean()) / ours.std()
    in_float32, in_float16 = WAVES[f"{name}_float32"], WAVES[f"{name}_mixed_float16"]
    assert np.corrcoef(ours, in_float32)[0, 1] > 0.999999 and np.abs(ours - in_float32).max() < 1e-3
    assert np.corrcoef(ours, in_float16)[0, 1] > 0.9999  # as the package runs it


def test_made_up_weights_give_the_package_s_wave(made, shapes, wave):
    loaded = open_rppg.load(f"open-rppg:rlap:{made}", shapes)
    assert len(loaded.loaded) == 418 and not loaded.ignored
    assert {name.split("/")[1] for name in loaded.fresh} == {"views"}
    assert_wave(wave, loaded, "made")


@pytest.mark.parametrize("name", open_rppg.SETS)
def test_true_weights_give_the_package_s_wave(name, shapes, wave):
    try:
        importlib.metadata.distribution(open_rppg.PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("open-rppg is not installed: pip install --no-deps open-rppg==0.1.1")
    assert_wave(wave, open_rppg.load(f"open-rppg:{name}", shapes), name)


def test_the_goldens_can_tell_weights_apart():
    for kind in ("float32", "mixed_float16"):
        for a, b in (("rlap", "pure"), ("rlap", "made"), ("pure", "made")):
            assert abs(np.corrcoef(WAVES[f"{a}_{kind}"], WAVES[f"{b}_{kind}"])[0, 1]) < 0.99


def test_standardize_is_each_colour_s_own_and_finite():
    clip = keras_weights.clip(8)[None].copy()
    y = np.asarray(normalise(clip, "standardize"))
    x = clip / 255.0
    expected = (x - x.mean((1, 2, 3), keepdims=True)) / (x.std((1, 2, 3), keepdims=True) + 1e-6)
    np.testing.assert_allclose(y, expected, atol=1e-4)
    assert np.abs(normalise(np.full((1, 4, 16, 16, 3), 77, np.uint8), "standardize")).max() == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("ConvBlockLast/vars/1"), "missing.*ConvBlockLast/vars/1"),
        (lambda a: a.update({"layers/more/vars/0": np.zeros(3)}), "not used.*layers/more/vars/0"),
        (lambda a: a.update({"layers/conv3d/vars/0": np.zeros((4, 4, 4, 96, 97))}), "layers/conv3d/vars/0.*patch"),
        (lambda a: a["layers/conv3d/vars/1"].__setitem__(0, np.nan), "NaN"),
    ],
)
def test_a_file_that_does_not_fit_is_one_line(arrays, shapes, tmp_path, change, message):
    altered = {name: value.copy() for name, value in arrays.items()}
    change(altered)
    keras_weights.write(tmp_path / "w.h5", altered)
    with pytest.raises(UserError, match=message) as caught:
        open_rppg.load(f"open-rppg:pure:{tmp_path / 'w.h5'}", shapes)
    assert "\n" not in str(caught.value)


def test_a_damaged_or_absent_file_is_one_line(made, shapes, tmp_path):
    whole = made.read_bytes()
    for length in (0, 100, len(whole) // 2):
        (tmp_path / "cut.h5").write_bytes(whole[:length])
        with pytest.raises(UserError, match="no whole HDF5 file") as caught:
            open_rppg.load(f"open-rppg:rlap:{tmp_path / 'cut.h5'}", shapes)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="no file"):
        open_rppg.locate(f"open-rppg:rlap:{tmp_path / 'absent.h5'}")
    with pytest.raises(UserError, match="open-rppg:rlap and open-rppg:pure"):
        open_rppg.locate("open-rppg:vipl")


def test_the_package_is_found_without_being_imported(tmp_path, monkeypatch):
    def absent(_):
        raise importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(importlib.metadata, "files", absent)
    with pytest.raises(UserError, match="pip install --no-deps open-rppg==0.1.1"):
        open_rppg.locate("open-rppg:rlap")
    path = tmp_path / "PhysFormer.pure.weights.h5"
    path.write_bytes(b"")
    part = types.SimpleNamespace(name=path.name, locate=lambda: path)
    monkeypatch.setattr(importlib.metadata, "files", lambda _: [part])
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "9.9")
    assert open_rppg.locate("open-rppg:pure") == path
    with pytest.raises(UserError, match="open-rppg 9.9 has no PhysFormer.rlap"):
        open_rppg.locate("open-rppg:rlap")
