"""--help, of the command and of each verb, and `main.py config`."""

import re

import pytest
from command import run_main

from cpml_jax import help, options
from cpml_jax.configs import base, forged
from cpml_jax.configuration import flattened
from cpml_jax.key_notes import key_notes
from cpml_jax.verbs import EVERYTHING, VERBS

BASE = flattened(base.get_config().to_dict())


def test_the_overview_names_every_verb_with_its_example(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    text = options.help_text(["main.py", "--help"])
    for name, verb in VERBS.items():
        assert re.search(rf"^  {name}\s", text, re.M) and verb.example in text
    assert EVERYTHING.example in text and "--coordinator" in text
    prose = [line for line in text.splitlines() if "main.py" not in line]
    assert max(map(len, prose)) <= 60


@pytest.mark.parametrize("verb", VERBS)
def test_a_verbs_help_has_its_own_flags_and_keys_and_no_others(verb):
    text = options.help_text(["main.py", verb, "--help"])
    shown = set(re.findall(r"^  --(\w+)", text, re.M))
    own = {flag.name for flag, owners in options.OWNERS if verb in owners}
    assert shown == own | set(help.COMMON)
    keys = dict(re.findall(r"^  ([\w.]+) = (.*)", text, re.M))
    assert set(keys) <= set(BASE) and all(keys[key] == help._shown(BASE[key]) for key in keys)
    for wanted in VERBS[verb].keys:
        assert f"  {wanted}" in text


def test_every_verb_example_is_a_command_of_that_verb():
    for name, verb in VERBS.items():
        assert verb.example.startswith(f"main.py {name} "), name
        for key in verb.keys:
            assert any(known == key or known.startswith(f"{key}.") for known in BASE) or key == "data.sources", key


def test_notes_are_the_comments_of_base_beside_and_above_a_key():
    notes = key_notes()
    assert notes["data.num_frames"] == "frames per clip, at 30 frames/s (docs/method.md, Input); a multiple of 4"
    assert notes["loss.push_pairs"].startswith("matched: a fake with its own real")
    assert notes["model.visual.projection"].endswith("the fusion takes all of them")
    assert notes["eval.checkpoint"].startswith("best (lowest pair loss")
    assert "optim.weight_decay" not in notes and not any("----" in note for note in notes.values())
    assert set(notes) <= {".".join(key.split(".")[: n + 1]) for key in BASE for n in range(4)} | {"data.sources"}


def test_help_is_asked_for_by_a_flag_and_not_by_a_file():
    assert help.asked(["main.py", "predict", "-h"]) and help.asked(["main.py", "--help"])
    assert not help.asked(["main.py", "predict", "--", "--help"]) and not help.asked(["--help"])


def test_config_prints_every_key_and_marks_what_differs(capsys):
    assert run_main("config", "--config=configs/forged.py", "--config.train.log_every=7") == 0
    printed = capsys.readouterr().out
    values = dict(re.findall(r"^[* ] ([\w.]+) = (.*?)(?:  # base: .*)?$", printed, re.M))
    assert values.keys() == flattened(forged.get_config().to_dict()).keys()
    assert "* train.log_every = 7  # base: 10\n" in printed and "\n  optim.weight_decay = 0.01\n" in printed
    for line in printed.splitlines():
        key = line[2:].split(" = ")[0]
        if key in BASE:
            assert line.startswith("*") == (values[key] != help._shown(BASE[key])), line
