"""Classes and their prompts, from the method and from users' files."""

import json

import pytest

from cpml_jax.errors import UserError
from cpml_jax.models import prompt_bank

METHODS = ("Deepfakes", "Face2Face", "NeuralTextures")


def write(path, text) -> str:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_without_a_file_it_is_the_methods_twelve():
    names = prompt_bank.class_names("binary", METHODS)
    assert prompt_bank.make(names) == dict(zip(("real", "fake"), prompt_bank.TEMPLATES, strict=True))


def test_manipulations_get_prompts_of_their_own_name():
    names = prompt_bank.class_names("methods", METHODS)
    assert names == ("real", *METHODS)
    bank = prompt_bank.make(names)
    assert list(bank) == list(names) and bank["real"] == prompt_bank.TEMPLATES[0]
    for name, word in zip(METHODS, ("deepfakes", "face2face", "neural textures"), strict=True):
        assert len(bank[name]) == len(prompt_bank.FORMS) and all(word in prompt for prompt in bank[name])
    assert prompt_bank.spoken("face_swap-v2") == "face swap v2" and prompt_bank.spoken("FaceSwap") == "face swap"


def test_a_file_gives_the_classes_in_their_order_and_serves_other_classes_too(tmp_path):
    held = {"Face2Face": ["c"], "fake": ["x", "y"], "real": ["a", "a too"], "Deepfakes": ["b"], "NeuralTextures": ["d"]}
    path = write(tmp_path / "bank.json", json.dumps(held))
    bank = prompt_bank.make(prompt_bank.class_names("methods", METHODS), path)
    assert list(bank.items()) == [
        ("real", ("a", "a too")), ("Deepfakes", ("b",)), ("Face2Face", ("c",)), ("NeuralTextures", ("d",)),
    ]  # fmt: skip
    assert prompt_bank.make(("real", "fake"), path) == {"real": ("a", "a too"), "fake": ("x", "y")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("real: [a]", "not JSON"), ("", "not JSON"), (b"\xff\xfe\x00", "not JSON"), ("[" * 100_000, "not JSON"),
        ("[]", "JSON object"), ('"real"', "JSON object"), ("null", "JSON object"),
        ('{"real": ["a"]}', "no prompts for 'fake'"), ('{"Real": ["a"], "fake": ["b"]}', "holds 'Real', 'fake'"),
        ('{"real": [], "fake": ["b"]}', "'real' needs a list"), ('{"real": "a", "fake": ["b"]}', "'real' needs a list"),
        ('{"real": {"a": 1}, "fake": ["b"]}', "'real' needs a list"),
        ('{"real": ["a"], "fake": ["b", 3]}', "3 of the class 'fake'"), ('{"real": ["a"], "fake": [NaN]}', "nan of"),
        ('{"real": ["a"], "fake": ["b", "  "]}', "'  ' of the class 'fake'"),
        ('{"real": ["a"], "fake": ["\\ud800"]}', "of the class 'fake' is no prompt"),
        ('{"real": ["a"], "fake": ["b"], "real": ["c"]}', "'real' occurs twice"),
        ('{"real": ["a"], "fake": [["b"]]}', "of the class 'fake' is no prompt"),
    ],
)  # fmt: skip
def test_a_bad_file_is_one_line_that_names_it(tmp_path, text, message):
    path = write(tmp_path / "bank.json", text)
    with pytest.raises(UserError, match=message) as error:
        prompt_bank.make(("real", "fake"), path)
    assert "bank.json" in str(error.value) and "\n" not in str(error.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(UserError, match="model.text_encoder.bank=.*not readable"):
            prompt_bank.make(("real", "fake"), str(path))


@pytest.mark.parametrize("methods", [(), ("a", "b", "a"), ("real", "a")])
def test_methods_that_cannot_be_classes_are_refused(methods):
    with pytest.raises(UserError, match="train.methods"):
        prompt_bank.class_names("methods", methods)
    with pytest.raises(UserError, match="model.text_encoder.classes='method'"):
        prompt_bank.class_names("method", METHODS)
