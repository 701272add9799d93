"""The prompt bank: what each class is called in words. The method's twelve templates, or a user's JSON file."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from cpml_jax.errors import UserError
from cpml_jax.schema import REAL_METHOD

FAKE_CLASS = "fake"
CLASSES = ("binary", "methods")

# docs/method.md, Encoders: real first, as in the labels.
TEMPLATES: tuple[tuple[str, ...], tuple[str, ...]] = (
    (
        "This is an example of a real face",
        "This is a bonafide face",
        "This is a real face",
        "This is how a real face looks like",
        "a photo of a real face",
        "This is not a forgery face",
    ),
    (
        "This is an example of a forgery face",
        "This is an example of an attack face",
        "This is not a real face",
        "This is how a forgery face looks like",
        "a photo of a forgery face",
        "a printout shown to be a forgery face",
    ),
)

# The same forms with a manipulation's name, for model.text_encoder.classes=methods.
FORMS: tuple[str, ...] = (
    "This is an example of a {} forgery face",
    "This is an example of a {} attack face",
    "This is a {} face",
    "This is how a {} forgery face looks like",
    "a photo of a {} forgery face",
    "a face forged by {}",
)


def class_names(classes: str, methods: Sequence[str]) -> tuple[str, ...]:
    """Names of the classes in the order of the logits: real first.

    Args:
      classes: binary: real and fake; methods: real and one per manipulation.
      methods: train.methods.

    Raises:
      UserError: an unknown kind, or methods that cannot be classes.
    """
    if classes not in CLASSES:
        raise UserError(f"model.text_encoder.classes={classes!r}; it is one of {CLASSES}")
    if classes == "binary":
        return REAL_METHOD, FAKE_CLASS
    methods = tuple(methods)
    if not methods or len(set(methods)) != len(methods) or REAL_METHOD in methods:
        raise UserError(
            f"model.text_encoder.classes='methods' makes a class of each of train.methods={methods}: "
            f"name at least one, each once, and not {REAL_METHOD!r}"
        )
    return REAL_METHOD, *methods


def spoken(method: str) -> str:
    """A manipulation's name as words: NeuralTextures -> neural textures, face_swap -> face swap."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|[_\-\s]+", " ", method).strip().lower()


def make(names: Sequence[str], path: str = "") -> dict[str, tuple[str, ...]]:
    """Every class's prompts.

    Args:
      names: of the classes, real first: class_names.
      path: a JSON file {class: [prompt, ...]}, or "": the method's; a manipulation's are made from FORMS.

    Returns:
      {class: its prompts} in the order of `names`. Classes that the file holds beyond those are left out, so that one
      file serves configurations of other manipulations.

    Raises:
      UserError: the file cannot be read, is of another form, or lacks a class.
    """
    if path:
        bank = read(path)
        missing = [name for name in names if name not in bank]
        if missing:
            raise UserError(
                f"model.text_encoder.bank={path!r} has no prompts for {', '.join(map(repr, missing))}; "
                f"it holds {', '.join(map(repr, bank))}"
            )
        return {name: bank[name] for name in names}
    bank = dict(zip((REAL_METHOD, FAKE_CLASS), TEMPLATES, strict=True))
    if tuple(names) != (REAL_METHOD, FAKE_CLASS):
        bank |= {name: tuple(form.format(spoken(name)) for form in FORMS) for name in names if name != REAL_METHOD}
    return {name: bank[name] for name in names}


def read(path: str) -> dict[str, tuple[str, ...]]:
    """All classes of a bank file.

    Raises:
      UserError: not a JSON object of non-empty lists of non-empty strings, each class once.
    """
    where = f"model.text_encoder.bank={path!r}"
    try:
        with open(path, encoding="utf-8") as file:
            pairs = json.load(file, object_pairs_hook=_Pairs)
    except OSError as error:
        raise UserError(f"{where}: not readable ({error.strerror}); name a JSON file, or '' for the method's") from None
    except (ValueError, RecursionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f'{where}: not JSON ({reason}); it is {{"real": ["a prompt", ...], "fake": [...]}}') from None
    if not isinstance(pairs, _Pairs):
        raise UserError(f'{where}: a JSON object is needed, {{"real": ["a prompt", ...], "fake": [...]}}')
    names = [name for name, _ in pairs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"{where}: the class {twice[0]!r} occurs twice; put its prompts into one list")
    for name, prompts in pairs:
        if isinstance(prompts, _Pairs) or not isinstance(prompts, list) or not prompts:
            raise UserError(f"{where}: the class {name!r} needs a list of at least one prompt")
        bad = [prompt for prompt in prompts if not _is_text(prompt)]
        if bad:
            raise UserError(
                f"{where}: {ascii(bad[0])[:60]} of the class {name!r} is no prompt; each is a text in quotes"
            )
    return {name: tuple(prompts) for name, prompts in pairs}


class _Pairs(list):
    """A JSON object as it is written: a dictionary would drop all but the last of equal keys."""


def _is_text(prompt: object) -> bool:
    if not isinstance(prompt, str) or not prompt.strip():
        return False
    try:
        prompt.encode()  # half of a surrogate pair passes JSON, and no tokenizer takes it
    except UnicodeEncodeError:
        return False
    return True
