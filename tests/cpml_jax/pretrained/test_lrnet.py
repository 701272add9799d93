"""LRNet's weights, in files with the published names and shapes: torch's GRU and MLP give the same features."""

from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import published_weights
import pytest
import tiny
import torch_writer

from cpml_jax.errors import UserError
from cpml_jax.models.landmark_rnn import LandmarkRNN
from cpml_jax.pretrained import lrnet, torch_file

REAL = Path(__file__).resolve().parents[4] / "shared" / "weights" / "lrnet"  # beside the repository, where it is


@cache
def shapes_of(model):
    return jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 4, 68, 2)), train=False))


def made(g: str) -> dict:
    """Arrays by name, "gru.bias_ih_l0" as g1's "g1gru.bias_ih_l0"."""
    return published_weights.state(published_weights.lrnet(), g)


@pytest.fixture
def files(tmp_path):
    for g in ("g1", "g2"):
        torch_writer.save({k.removeprefix(g): v for k, v in made(g).items()}, tmp_path / f"{g}_raw.pth")
    return tmp_path


def torch_features(path: Path, points: np.ndarray) -> np.ndarray:
    """(N, T, 136) -> (N, 64) by torch's own GRU and Linear, from a file that torch reads."""
    import torch

    state = torch.load(path, map_location="cpu", weights_only=True)
    gru = torch.nn.GRU(136, 32, batch_first=True, bidirectional=True)
    gru.load_state_dict({k.removeprefix("gru."): v for k, v in state.items() if k.startswith("gru.")})
    with torch.no_grad():
        _, final = gru(torch.from_numpy(points), state["hidden_state"].repeat(1, len(points), 1))
        x = torch.cat(list(final), dim=1)
        first, second = ((state[f"dense.1.fn.net.{i}.weight"], state[f"dense.1.fn.net.{i}.bias"]) for i in (0, 3))
        linear = torch.nn.functional.linear
        return (x + linear(linear(x, *first).relu(), *second)).numpy()


def compare(path, model, torch_numbers, name):
    landmarks = np.random.default_rng(0).uniform(-1, 1, (3, 40, 68, 2)).astype(np.float32)
    loaded = lrnet.load(path, shapes_of(model), delta_scale=model.delta_scale)
    ours = model.apply({"params": loaded.params}, jnp.asarray(landmarks), train=False)
    flat = landmarks.reshape(3, 40, 136)
    theirs = [
        torch_numbers(f"lrnet_{name}_{g}", torch_features, file, x)
        for g, file, x in zip(("g1", "g2"), lrnet.find_pair(path), (flat, np.diff(flat, axis=1)), strict=True)
    ]
    np.testing.assert_allclose(ours, np.concatenate(theirs, axis=1), atol=1e-5, rtol=0)
    assert np.std(theirs[0]) > 0.05
    return loaded


@pytest.mark.parametrize("delta_scale", [1.0, 200.0])
def test_features_are_torchs(files, delta_scale, torch_numbers):
    model = LandmarkRNN(**tiny.settings("landmarks") | dict(delta_scale=delta_scale))
    loaded = compare(files, model, torch_numbers, "made")
    assert len(loaded.loaded) == 18 and loaded.fresh == [] and loaded.batch_stats == {}
    assert loaded.ignored == [f"{g}.dense.3.{part}" for g in ("g1", "g2") for part in ("bias", "weight")]


@pytest.mark.skipif(not REAL.is_dir(), reason="the authors' files are not here")
@pytest.mark.parametrize("compression", ["raw", "c23", "c40"])
def test_the_authors_own_files(compression, torch_numbers):
    for g in ("g1", "g2"):
        state = torch_file.read(REAL / f"{g}_{compression}.pth").state
        assert {k: v.shape for k, v in state.items()} == published_weights.lrnet()
    compare(REAL / f"g2_{compression}.pth", LandmarkRNN(**tiny.settings("landmarks")), torch_numbers, compression)


def test_every_mismatch_is_said(files):
    variables = shapes_of(LandmarkRNN(**tiny.settings("landmarks") | dict(hidden=16)))
    with pytest.raises(UserError) as caught:
        lrnet.load(files, variables)
    assert str(caught.value).count("does not give") == 18
    state = made("")
    del state["gru.bias_hh_l0_reverse"], state["dense.1.fn.net.3.bias"]
    state |= {"gru.weight_ih_l1": np.zeros(3), "hidden_state": np.full((2, 1, 32), np.nan, np.float32)}
    with pytest.raises(UserError) as caught:
        lrnet.parameters(state, state, shapes_of(LandmarkRNN(**tiny.settings("landmarks"))))
    for g in ("g1", "g2"):
        for word in ("gru.bias_hh_l0_reverse", "dense.1.fn.net.3.bias", "gru.weight_ih_l1", "hidden_state holds NaN"):
            assert f"{g}.{word}" in str(caught.value)


def test_files_that_are_not_a_pair(files, tmp_path):
    variables = shapes_of(LandmarkRNN(**tiny.settings("landmarks")))
    (files / "g1_c23.pth").write_bytes(b"")
    with pytest.raises(UserError, match=r"2 files g1\*.pth.*name the one"):
        lrnet.load(files, variables)
    with pytest.raises(UserError, match="g2_c23.pth: no such file"):
        lrnet.load(files / "g1_c23.pth", variables)
    with pytest.raises(UserError, match="begin with g1 and g2"):
        lrnet.load(files / "weights.pth", variables)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="0 files"):
        lrnet.load(tmp_path / "empty", variables)
