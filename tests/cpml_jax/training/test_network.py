"""What a model is built from besides its configuration."""

import numpy as np
import pytest
import tiny

from cpml_jax.errors import UserError
from cpml_jax.training import network, run_files


def test_a_run_that_has_begun_needs_no_clip_folder(tmp_path):
    config = tiny.tiny_config(**{"model.text_encoder.weights": str(tmp_path / "gone")})
    tokens = np.array([[[1, 2, 3]], [[4, 5, 0]]], np.int32)
    kept = network.Network({"text_encoder": {"width": 24}}, 7, tokens, (3,))
    network.keep(tmp_path, kept)
    with pytest.raises(UserError, match="gone"):
        network.of_run(config, tmp_path)  # what a start that was cut off left counts for nothing
    run_files.write_config(tmp_path, config.to_dict())
    again = network.of_run(config, tmp_path)
    assert (again.shapes, again.vocabulary, again.context_words) == (kept.shapes, 7, (3,))
    np.testing.assert_array_equal(again.tokens, tokens)
    assert again.tokens is not None and again.tokens.dtype == np.int32
