"""The tokenizer, and tokens of prompts."""

import numpy as np
import pytest

from cpml_jax.errors import UserError
from cpml_jax.models import prompts
from cpml_jax.models.prompt_bank import TEMPLATES


@pytest.fixture(scope="module")
def tokenizer():
    pytest.importorskip("transformers")
    return prompts.build_tokenizer(TEMPLATES)


def test_every_word_of_the_bank_is_one_token(tokenizer):
    tokens = prompts.tokenize(tokenizer, TEMPLATES, 24)
    assert tokens.shape == (2, 6, 24) and tokens.dtype == np.int32
    end = tokenizer.eos_token_id
    assert end == len(tokenizer) - 1 == tokens.max()  # the encoder finds the end by its id
    for prompt, row in zip(sum(TEMPLATES, ()), tokens.reshape(12, 24), strict=True):
        words = prompt.lower().split()
        assert [t.removesuffix("</w>") for t in tokenizer.convert_ids_to_tokens(row[1 : 1 + len(words)])] == words
        assert (row[1 + len(words) :] == end).all()
    assert len(np.unique(tokens.reshape(12, 24), axis=0)) == 12


def test_unknown_words_fall_back_to_bytes(tokenizer):
    ids = tokenizer("Émeute 3")["input_ids"]
    assert max(ids) < len(tokenizer) and len(ids) > 4


def test_prompts_that_do_not_fit_are_refused(tokenizer):
    with pytest.raises(UserError, match="context_length=6"):
        prompts.tokenize(tokenizer, TEMPLATES, 6)
    with pytest.raises(UserError, match="at least one"):
        prompts.tokenize(tokenizer, (("a",), ()), 24)
    with pytest.raises(UserError, match="only the tokenizer may write"):
        prompts.tokenize(tokenizer, (("a real <|endoftext|> face",), ("a fake",)), 24)
    # Case and spaces are nothing to the tokenizer, so they do not tell classes apart.
    with pytest.raises(UserError, match="two classes share the prompt 'A  face'"):
        prompts.tokenize(tokenizer, (("a real face", "a face"), ("a forgery", "A  face")), 24)
    with pytest.raises(UserError, match="4 learned"):
        prompts.tokenize(tokenizer, TEMPLATES, 12, room=4)


def test_a_missing_tokenizer_is_one_line(tmp_path):
    with pytest.raises(UserError, match="text_encoder.weights"):
        prompts.load_tokenizer(str(tmp_path / "nothing"))


def test_banks_of_different_sizes_are_filled_up_with_rows_that_are_no_prompts(tokenizer):
    banks = (("a real face",), ("a forgery face", "an attack face", "a printout"), ("a photo", "a forgery"))
    tokens = prompts.tokenize(tokenizer, banks, 24)
    is_prompt = prompts.present(tokens)
    assert tokens.shape == (3, 3, 24) and is_prompt.tolist() == [[1, 0, 0], [1, 1, 1], [1, 1, 0]]
    alone = prompts.tokenize(tokenizer, banks[:1], 24)
    np.testing.assert_array_equal(tokens[0, 0], alone[0, 0])
    assert prompts.present(prompts.tokenize(tokenizer, TEMPLATES, 24)).all()


@pytest.mark.parametrize("word", ["gesichtsfälschung", "顔", "лицо", "face2face", "don't", "deep_fake", "🙂"])
def test_a_bank_in_any_script_makes_a_tokenizer(word):
    """Words become bytes before they become merges: a merge of what is no byte is no vocabulary."""
    tokenizer = prompts.build_tokenizer((("a real face",), (f"a {word}",)))
    ids = tokenizer(f"a {word}")["input_ids"]
    assert len(ids) <= 3 + 3 and tokenizer.decode(ids[1:-1]).replace(" ", "") == f"a{word}"
    assert len(prompts.context_words(tokenizer, "a real face")) == 3 and prompts.context_words(tokenizer, "") == ()
