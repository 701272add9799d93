"""A model that is compiled while the first video is read."""

import jax
import pytest
import tiny
from prediction_case import FRAMES, FaceClip

from cpml_jax.evaluation import scoring
from cpml_jax.prediction.windows import few, score_windows, warm_up
from cpml_jax.training.sharding import make_mesh


@pytest.mark.parametrize("devices", [1, 4])
def test_what_is_compiled_while_waiting_serves_any_video_that_fills_no_batch(devices):
    config = tiny.tiny_config(**{"model.modalities": ("landmarks",), "data.num_frames": FRAMES})
    model, tokens = scoring.build_model(config)
    inputs = scoring.dummy_inputs(config)
    variables = jax.jit(lambda: model.init(jax.random.key(0), inputs, tokens, method="init_everything"))()
    scorer = scoring.Scorer(model, make_mesh(devices), tokens, variables=variables)
    size = tiny.input_size(num_frames=FRAMES, batch_size=8, inputs=scorer.inputs)
    assert few(scorer, size) == max(2, devices)
    warm_up(scorer, size)
    scored = scorer._score._cache_size()
    margins = [score_windows(scorer, [FaceClip(0, i, 0.5) for i in range(n)], size)[-1].margin for n in (1, 2, 5, 7)]
    assert scored == scorer._score._cache_size() == 1 and max(margins) - min(margins) < 1e-4
    score_windows(scorer, [FaceClip(0, i, 0.5) for i in range(8)], size)
    assert scorer._score._cache_size() == 2
