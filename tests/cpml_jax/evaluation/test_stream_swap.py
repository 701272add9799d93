"""Streams of a fake replaced by its real's."""

import itertools

import jax
import numpy as np
import pytest
import tiny
from stream_scorer import StreamScorer

from cpml_jax.evaluation import scoring, stream_swap
from cpml_jax.training.sharding import make_mesh

SUBSETS = [s for n in (1, 2, 3) for s in itertools.combinations(("rppg", "landmarks", "visual"), n)]


def row(method: str, video: str, target: str = "", **changes) -> dict:
    known = dict(dataset="a", method=method, compression="raw", split="test", video=video, window=0, start_s=0.0)
    known |= dict(target_video=target, label=int(method != "real")) | changes
    return known | {"clip_id": f"{method}/{known['compression']}/{video}/{known['window']}"}


def test_a_counterpart_is_the_same_moment_at_the_same_compression():
    real = row("real", "1")
    at = {
        "same": row("FaceSwap", "1_2", "1"),
        "c40": row("FaceSwap", "1_3", "1", compression="c40"),
        "window": row("FaceSwap", "1_4", "1", window=1),
        "moment": row("FaceSwap", "1_5", "1", start_s=1.0),
        "unknown": row("FaceSwap", "1_6"),
        "elsewhere": row("FaceSwap", "1_7", "1", dataset="b"),
        "other": row("FaceSwap", "2_1", "2"),
    }
    assert stream_swap.counterparts([*at.values(), real]) == {at["same"]["clip_id"]: real["clip_id"]}


def test_mixtures_replace_each_stream_and_all_but_each():
    assert stream_swap.mixtures(("landmarks",)) == ()
    assert set(stream_swap.mixtures(("rppg", "landmarks"))) == {frozenset({"rppg"}), frozenset({"landmarks"})}
    assert len(stream_swap.mixtures(("rppg", "landmarks", "visual"))) == 6


@pytest.mark.parametrize("streams", SUBSETS)
def test_every_mixture_scores_as_its_streams_say(streams):
    weights = dict(zip(("rppg", "landmarks", "visual"), (1.0, 10.0, 100.0), strict=True))
    scorer = StreamScorer(**{name: weights[name] for name in streams})
    rows = [row("real", "1"), row("real", "2"), row("FaceSwap", "1_2", "1"), row("FaceSwap", "3_1", "3")]
    swap = stream_swap.StreamSwap(scorer, rows)
    numbers = {"rppg": (1, 2, 3, 4), "landmarks": (5, 6, 7, 8), "visual": (2, 1, 4, 3)}
    for chosen in ([0, 1], [2, 3]):  # batches of three rows, the last of which only pads
        places = [*chosen, chosen[0]]
        frames = np.zeros((3, 1, 1, 1, 1, 3))
        frames[:, 0, 0, 0, 0, 0] = 100 * np.array(numbers["rppg"])[places]
        frames[:, 0, 0, 0, 0, 1] = 100 * np.array(numbers["visual"])[places]
        landmarks = np.zeros((3, 1, 1, 68, 2))
        landmarks[:, 0, 0, 0, 0] = np.array(numbers["landmarks"])[places]
        batch = {"frames": frames, "landmarks": landmarks}
        swap.add([rows[i] for i in chosen], scorer.score_streams(batch))
    assert list(swap.margins) == [rows[2]["clip_id"]]  # the real of the other is not here
    margins = swap.margins[rows[2]["clip_id"]]
    wanted = {frozenset(), frozenset(streams), *stream_swap.mixtures(streams)}
    assert set(margins) == wanted
    for given, margin in margins.items():
        expected = sum(weights[name] * numbers[name][0 if name in given else 2] for name in streams)
        assert margin == pytest.approx(expected)


@pytest.mark.parametrize(
    ("modalities", "changes"),
    [
        (("landmarks",), {}),
        (("rppg", "landmarks", "visual"), {"model.visual.contrast": 4}),
        (("landmarks", "visual", "texture"), {"model.visual.contrast": 4, "model.visual.encoder": "none"}),
    ],
)
def test_the_models_streams_fuse_to_its_own_logits_and_mix(modalities, changes):
    config = tiny.tiny_config(**{"model.modalities": modalities} | changes)
    model, tokens = scoring.build_model(config)
    inputs = scoring.dummy_inputs(config)
    variables = jax.jit(lambda: model.init(jax.random.key(0), inputs, tokens, method="init_everything"))()
    scorer = scoring.Scorer(model, make_mesh(2), tokens, variables=variables)
    batch = tiny.random_batch(rows=3, views=1)
    scores = scorer.score_streams(batch)
    assert scorer.streams == modalities and set(scores["streams"]) == set(modalities)
    np.testing.assert_allclose(scores["logits"], scorer.score(batch)["logits"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(scorer.fuse(scores["streams"]), scores["logits"], rtol=1e-4, atol=1e-5)
    # Landmarks of the next clip: the same as a batch with those landmarks.
    mixed = scores["streams"] | {"landmarks": np.roll(scores["streams"]["landmarks"], 1, axis=0)}
    direct = scorer.score(batch | {"landmarks": np.roll(batch["landmarks"], 1, axis=0)})["logits"]
    np.testing.assert_allclose(scorer.fuse(mixed), direct, rtol=1e-4, atol=1e-5)
    assert np.abs(direct - scores["logits"]).max() > 1e-4
    if "visual" in modalities:
        mixed = scores["streams"] | {
            "visual": jax.tree.map(lambda x: np.roll(x, 1, axis=0), scores["streams"]["visual"])
        }
        direct = scorer.score(batch | {"stills": np.roll(batch["stills"], 1, axis=0)})["logits"]
        np.testing.assert_allclose(scorer.fuse(mixed), direct, rtol=1e-4, atol=1e-5)
        assert np.abs(direct - scores["logits"]).max() > 1e-4
        swap = stream_swap.StreamSwap(scorer, [row("real", "1"), row("FaceSwap", "1_2", "1")])
        swap.add([row("real", "1"), row("FaceSwap", "1_2", "1")], scores)
        assert len(swap.margins[row("FaceSwap", "1_2", "1")["clip_id"]]) == 2 + len(stream_swap.mixtures(modalities))
