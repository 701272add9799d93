"""The prompt bank and its tokenizer."""

import numpy as np
import pytest

from cpml_jax import prompts
from cpml_jax.errors import UserError


@pytest.fixture(scope="module")
def tokenizer():
    pytest.importorskip("transformers")
    return prompts.build_tokenizer(prompts.TEMPLATES)


def test_every_word_of_the_bank_is_one_token(tokenizer):
    tokens = prompts.tokenize(tokenizer, prompts.TEMPLATES, 24)
    assert tokens.shape == (2, 6, 24) and tokens.dtype == np.int32
    end = tokenizer.eos_token_id
    assert end == len(tokenizer) - 1 == tokens.max()  # the encoder finds the end by its id
    for prompt, row in zip(sum(prompts.TEMPLATES, ()), tokens.reshape(12, 24), strict=True):
        words = prompt.lower().split()
        assert [t.removesuffix("</w>") for t in tokenizer.convert_ids_to_tokens(row[1 : 1 + len(words)])] == words
        assert (row[1 + len(words) :] == end).all()
    assert len(np.unique(tokens.reshape(12, 24), axis=0)) == 12


def test_unknown_words_fall_back_to_bytes(tokenizer):
    ids = tokenizer("Émeute 3")["input_ids"]
    assert max(ids) < len(tokenizer) and len(ids) > 4


def test_prompts_that_do_not_fit_are_refused(tokenizer):
    with pytest.raises(UserError, match="context_length=6"):
        prompts.tokenize(tokenizer, prompts.TEMPLATES, 6)
    with pytest.raises(UserError, match="same number"):
        prompts.tokenize(tokenizer, (("a",), ("a", "b")), 24)
    with pytest.raises(UserError, match="4 learned"):
        prompts.tokenize(tokenizer, prompts.TEMPLATES, 12, room=4)


def test_a_missing_tokenizer_is_one_line(tmp_path):
    with pytest.raises(UserError, match="clip_text.weights"):
        prompts.load_tokenizer(str(tmp_path / "nothing"))
