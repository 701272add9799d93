"""Token ids of a CLIP folder: CLIP's encoding written out, transformers' own, and folders without a whole tokenizer."""

import json
import unicodedata

import clip_folder
import numpy as np
import pytest

from cpml_jax.errors import UserError
from cpml_jax.models import prompt_bank, prompts


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip")
    clip_folder.write_tokenizer(path)
    return path


def twin_tokens(text: str, vocab: dict[str, int], merges: list[tuple[str, str]]) -> list[int]:
    """CLIP's byte-pair encoding, written out (Radford et al., ICML 2021, and GPT-2's table of bytes)."""
    import regex

    ranks = {pair: i for i, pair in enumerate(merges)}
    pieces = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+")
    letters = prompts.byte_symbols()
    text = regex.sub(r"\s+", " ", unicodedata.normalize("NFC", text)).lower()
    ids = [vocab[prompts.START]]
    for piece in pieces.findall(text):
        symbols = [letters[byte] for byte in piece.encode()]
        symbols[-1] += prompts.WORD_END
        while pairs := [pair for pair in zip(symbols, symbols[1:], strict=False) if pair in ranks]:
            symbols = list(prompts.merged(tuple(symbols), min(pairs, key=ranks.get)))
        ids += [vocab[symbol] for symbol in symbols]
    return [*ids, vocab[prompts.END]]


def varied_texts(count: int = 200) -> list[str]:
    rng = np.random.default_rng(0)
    alphabets = [
        "abcdefghijklmnopqrstuvwxyz", "ABCDEFGH XYZ", "0123456789", "!?.,;:'\"()[]{}<>|/\\@#$%^&*-_=+~`", "éàüößñçøå",
        "Ελληνικά", "русский", "中文字符漢字", "日本語カナ", "한국어", "العربية", "हिन्दी", "🙂🎭👩‍🔬🇩🇪",
        " \t\n\u00a0", "e\u0301o\u0308",
    ]  # fmt: skip
    texts = ["", " ", "it's I'll we've DON'T", "word " * 60, "a" * 300, "<|notspecial|>", "café cafe\u0301", "ß ẞ"]
    while len(texts) < count:
        words = []
        for _ in range(rng.integers(1, 9)):
            if rng.random() < 0.4:
                words.append(str(rng.choice(clip_folder.WORDS)))
            else:
                letters = list(alphabets[rng.integers(len(alphabets))])
                words.append("".join(rng.choice(letters, rng.integers(1, 8))))
        texts.append(str(rng.choice(["", " ", "  ", "-"])).join(words))
    return texts


def test_token_ids_are_clip_s_and_transformers(folder, tmp_path):
    from transformers import CLIPTokenizer

    vocab, merges = clip_folder.vocabulary()
    tokenizer = prompts.load_tokenizer(folder)
    CLIPTokenizer(vocab=vocab, merges=merges).save_pretrained(tmp_path)
    assert (tmp_path / "tokenizer.json").is_file() and not (tmp_path / "vocab.json").exists()
    other_layout = prompts.load_tokenizer(tmp_path)
    theirs = CLIPTokenizer.from_pretrained(str(folder))
    bank = [prompt for side in prompt_bank.TEMPLATES for prompt in side]
    for text in bank + varied_texts():
        expected = twin_tokens(text, vocab, merges)
        for source in (tokenizer, other_layout, theirs):
            assert source(text)["input_ids"] == expected, text
    for row, text in zip(prompts.tokenize(tokenizer, (bank,), 32)[0].tolist(), bank, strict=True):
        expected = twin_tokens(text, vocab, merges)
        assert row == expected + expected[-1:] * (32 - len(expected))


def test_a_folder_without_a_tokenizer_is_refused(folder, tmp_path):
    """transformers itself makes an empty one, without a word."""
    with pytest.raises(UserError, match="neither tokenizer.json nor vocab.json"):
        prompts.load_tokenizer(tmp_path)
    (tmp_path / "vocab.json").write_bytes((folder / "vocab.json").read_bytes())
    with pytest.raises(UserError, match="neither"):
        prompts.load_tokenizer(tmp_path)
    (tmp_path / "merges.txt").write_text((folder / "merges.txt").read_text() + "cut")
    with pytest.raises(UserError, match="no CLIP tokenizer in it.*line"):
        prompts.load_tokenizer(tmp_path)
    (tmp_path / "merges.txt").write_bytes((folder / "merges.txt").read_bytes())
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(UserError, match="no CLIP tokenizer in it"):
        prompts.load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    vocab = json.loads((folder / "vocab.json").read_text())
    vocab["one_more"] = len(vocab)
    (tmp_path / "vocab.json").write_text(json.dumps(vocab))
    with pytest.raises(UserError, match="not the largest"):
        prompts.load_tokenizer(tmp_path)
