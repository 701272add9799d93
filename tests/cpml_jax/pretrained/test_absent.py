"""The line that says which trained weights are absent, and what stands in for them."""

import pytest

from cpml_jax.configs import base, celebdf, crop_tree, dfd, dfdc, ffpp, folder, synthetic
from cpml_jax.pretrained.absent import stand_ins
from cpml_jax.validation import validate

PROTOTYPES = "no CLIP weights: learned class prototypes stand in for the prompts' embeddings"
PULSE = "no PhysFormer weights: a random start, which the pulse teacher moves (loss.teacher=2)"
MOTION = "no LRNet weights: a random start with deltas times 200, a memory of 60 frames, the motion's spectrum"


def line(**changes) -> str:
    config = base.get_config()
    config.update_from_flattened_dict(changes)
    return stand_ins(config.to_dict())


@pytest.mark.parametrize("made", [celebdf, crop_tree, dfd, dfdc, ffpp, folder], ids=lambda made: made.__name__)
def test_configurations_without_weights_stand_in_for_all_three(made):
    """Old code trained a random text encoder on sampled prompts, on landmark deltas as noise, without a word."""
    assert stand_ins(made.get_config().to_dict()) == f"{PROTOTYPES}; {PULSE}; {MOTION}"


def test_the_drawn_benchmark_does_too():
    for size in ("small", "full"):
        config = synthetic.get_config(size)
        assert stand_ins(config.to_dict()) == f"{PROTOTYPES}; {PULSE}; {MOTION}"
        validate(config)
    validate(ffpp.get_config(), "train")


def test_a_part_with_weights_or_without_its_stream_is_not_named():
    given = {"model.text_encoder.weights": "clip", "model.rppg.weights": "x.pkl", "model.landmarks.weights": "g"}
    assert line(**given) == ""
    assert line(init_from="folder") == ""
    assert line(**{"model.modalities": ("landmarks",), "model.head": "linear"}).startswith("no LRNet weights")
    assert line(**given | {"model.modalities": ("rppg", "visual")}) == (
        "no CLIP weights: an image encoder that starts at random"
    )
    for trained, words in (("all", ""), ("norm", ", of which only norms are trained"), ("none", " and stays so")):
        lite = {"model.visual.encoder": "efficientnet_lite0", "model.visual.trained": trained}
        assert line(**given | lite | {"model.modalities": ("rppg", "visual")}) == (
            f"no EfficientNet-Lite0 weights: an image encoder that starts at random{words}"
        )
    contrast = {"model.visual.encoder": "none", "model.visual.contrast": 8}
    assert line(**given | {"model.modalities": ("rppg", "visual")} | contrast) == ""


def test_what_does_not_stand_in_is_said_too():
    assert "and without a pulse teacher it learns no pulse" in line()
    assert "plain deltas, of which it sees little" in line()
    assert "whose words mean nothing to it (model.head='prototypes'" in line()
    assert "model.text_encoder.mode='frozen' it stays so" in line(**{"model.text_encoder.mode": "frozen"})
    assert "no CLIP" not in line(**{"model.head": "linear"})
