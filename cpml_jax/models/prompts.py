"""Class prompts -> tokens. The prompts themselves are prompt_bank.py's."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from cpml_jax.errors import UserError

Tokenizer = Any  # transformers.CLIPTokenizer, which is slow to import

START, END, WORD_END = "<|startoftext|>", "<|endoftext|>", "</w>"
WORD = re.compile(r"[^\W\d_]+|\d|(?:[^\w\s]|_)+")  # CLIP's: letters, one digit, or signs


def byte_symbols() -> list[str]:
    """The 256 printable characters that byte-level BPE writes bytes with, in byte order.

    Printable Latin-1 stands for itself; the other bytes, in order, are code points from 256 on (GPT-2's table).
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(b) if b in printable else chr(next(others)) for b in range(256)]


def learn_merges(words: list[str]) -> list[tuple[str, str]]:
    """Byte-pair merges, most frequent pair first, until every word is one symbol (Sennrich et al., ACL 2016).

    Not the tokenizers library's trainer, which orders equally frequent pairs by its ids: the prompts would get other
    ids, and a text encoder that starts at random other numbers.

    Args:
      words: written with byte_symbols.
    """
    pieces = {word: (*word[:-1], word[-1] + WORD_END) for word in sorted(set(words))}
    merges = []
    while True:
        pairs = Counter(pair for symbols in pieces.values() for pair in zip(symbols, symbols[1:], strict=False))
        if not pairs:
            return merges
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        pieces = {word: merged(symbols, best) for word, symbols in pieces.items()}


def merged(symbols: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    """A word's symbols with every occurrence of a pair joined."""
    result, i = [], 0
    while i < len(symbols):
        if symbols[i : i + 2] == pair:
            result.append(pair[0] + pair[1])
            i += 2
        else:
            result.append(symbols[i])
            i += 1
    return tuple(result)


def build_tokenizer(templates: Iterable[Sequence[str]]) -> Tokenizer:
    """A CLIP tokenizer made from the prompt bank alone: one token per word, and bytes for anything else.

    Args:
      templates: per class, prompts; and any other words that are to be tokens.

    Returns:
      transformers.CLIPTokenizer. The end token has the largest id, as in CLIP's vocabulary, and pads.
    """
    from transformers import CLIPTokenizer  # slow to import, and only needed here

    letters = byte_symbols()
    words = [word for prompts in templates for prompt in prompts for word in WORD.findall(prompt.lower())]
    merges: Any = learn_merges(["".join(letters[byte] for byte in word.encode()) for word in words])
    symbols = letters + [letter + WORD_END for letter in letters] + [a + b for a, b in merges] + [START, END]
    return CLIPTokenizer(vocab={symbol: i for i, symbol in enumerate(symbols)}, merges=merges)


def load_tokenizer(path: str | Path) -> Tokenizer:
    """The tokenizer that belongs to trained CLIP weights.

    Args:
      path: a folder with tokenizer.json, or vocab.json and merges.txt.

    Raises:
      UserError: the folder has none, or its end token does not have the largest id, by which the text encoder
        recognises it.
    """
    from transformers import CLIPTokenizer

    option = f"model.text_encoder.weights={str(path)!r}"
    files = [name for name in ("tokenizer.json", "vocab.json", "merges.txt") if (Path(path) / name).is_file()]
    # Of a folder without these files transformers makes an empty tokenizer, without a word.
    if "tokenizer.json" not in files and len(files) < 2:
        raise UserError(f"{option}: no CLIP tokenizer in it: neither tokenizer.json nor vocab.json and merges.txt")
    try:
        tokenizer = CLIPTokenizer.from_pretrained(path)
    except Exception as error:  # the tokenizers library raises bare Exceptions on damaged files
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{option}: no CLIP tokenizer in it ({reason})") from None
    if tokenizer.eos_token_id != len(tokenizer) - 1:
        raise UserError(
            f"{option}: the end token {tokenizer.eos_token!r} has the id {tokenizer.eos_token_id} of {len(tokenizer)}, "
            "not the largest one as in CLIP's vocabulary"
        )
    return tokenizer


def tokenize(
    tokenizer: Tokenizer, templates: Sequence[Sequence[str]], context_length: int, room: int = 0
) -> Int[np.ndarray, "C P {context_length}"]:
    """Tokens of every prompt.

    Args:
      tokenizer: of build_tokenizer or load_tokenizer.
      templates: per class, at least one prompt; P is the largest number of them.
      context_length: L.
      room: positions that must stay free for learned context tokens.

    Returns:
      (classes, P, L) int32: start, words, end, then padding. A class's prompts come first; rows of the end token
      alone fill up to P (`present`).

    Raises:
      UserError: a prompt does not fit, or two classes share one.
    """
    width = max(map(len, templates))
    if not all(templates):
        raise UserError("each class needs at least one prompt")
    end = tokenizer.eos_token_id
    tokens = np.full((len(templates), width, context_length), end, np.int32)
    class_of: dict[tuple[int, ...], int] = {}
    for number, prompts in enumerate(templates):
        for place, prompt in enumerate(prompts):
            ids = tokenizer(prompt)["input_ids"]
            if {end, tokenizer.bos_token_id} & set(ids[1:-1]):
                raise UserError(f"the prompt {prompt!r} holds {START} or {END}, which only the tokenizer may write")
            if len(ids) + room > context_length:
                raise UserError(
                    f"the prompt {prompt!r} has {len(ids)} tokens and {room} learned ones; "
                    f"model.text_encoder.context_length={context_length} is too short"
                )
            if class_of.setdefault(tuple(ids), number) != number:
                raise UserError(
                    f"two classes share the prompt {prompt!r}, so it does not tell them apart; give it to one of them"
                )
            tokens[number, place, : len(ids)] = ids
    return tokens


def present(tokens: Any) -> Any:
    """Which rows of tokens (..., L), of NumPy or JAX, are prompts: (...) bool of the same library.

    A prompt starts with another token than it ends with.
    """
    return tokens[..., 0] != tokens[..., -1]


def stand_ins(classes: int) -> np.ndarray:
    """Tokens (C, 1, 2) int32 of one prompt a class that no text encoder reads: of the head `prototypes`."""
    return np.tile(np.array([0, 1], np.int32), (classes, 1, 1))


def context_words(tokenizer: Tokenizer, words: str) -> tuple[int, ...]:
    """Token ids of the words that learned context starts from, without start and end."""
    return tuple(tokenizer(words)["input_ids"][1:-1])
