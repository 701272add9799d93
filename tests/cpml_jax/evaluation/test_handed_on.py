"""evaluate --model: the answers that `predict` would give, on a configuration's records, in a folder of its own."""

import json

import jax
import numpy as np
import published
import pytest
import tiny
from command import run_main

from cpml_jax.evaluation import model_folder, scoring
from cpml_jax.training.sharding import make_mesh

CONFIG = """
import tiny
from cpml_jax.configs import base

def get_config():
    config = tiny.training_config({records!r}, **{{"eval.protocols": ("in_dataset",)}})
    config.data.sources = dict({name}=config.data.sources.faces)
    config.train.dataset = {name!r}
    return config
"""


@pytest.fixture(scope="module")
def handed(tmp_path_factory, tiny_records):
    """(folder of a model of landmarks, its scorer); its threshold is -1.5, its temperature 2."""
    config = tiny.training_config(tiny_records, **{"model.modalities": ("landmarks",), "loss.cqsl": 0.0})
    work = tmp_path_factory.mktemp("run")
    model, tokens = scoring.build_model(config)
    inputs = scoring.dummy_inputs(config)
    variables = jax.jit(lambda: model.init(jax.random.key(3), inputs, tokens, method="init_everything"))()
    scorer = scoring.Scorer(model, make_mesh(1), tokens, variables=variables, step=7, selection="validation")
    report = {
        "checkpoint": {"step": 7, "parameters_sha256": scorer.parameters_sha256},
        "results": [{"threshold": {"video_margin": -1.5}}],
        "calibration": {"temperature": 2.0, "bounds": [0.1, 0.9]},
    }
    (work / "evaluation.json").write_text(json.dumps(report))
    model_folder.write(work / "model", work, config, scorer, scorer.variables(), "# a card\n")
    return work / "model", scorer


def evaluated(tmp_path, records, folder, name="faces", *more):
    file, workdir = tmp_path / f"{name}.py", tmp_path / "work"
    file.write_text(CONFIG.format(records=str(records), name=name))
    status = run_main("evaluate", f"--model={folder}", f"--config={file}", f"--workdir={workdir}", *more)
    assert status == 0
    (made,) = (workdir / "models").iterdir()
    return made, json.loads((made / "evaluation.json").read_text())


def test_the_model_decides_as_it_was_handed_on(handed, tiny_records, tmp_path, capsys):
    folder, scorer = handed
    work = tmp_path / "work"
    work.mkdir()
    own = {name: f"of the run's own {name}" for name in ("evaluation.json", "scores.jsonl", "doubt.npz")}
    for name, text in own.items():
        (work / name).write_text(text)
    made, report = evaluated(tmp_path, tiny_records, folder)
    assert "threshold of the model (0.18" in capsys.readouterr().out
    assert made.name == f"tiny-{scorer.parameters_sha256[:12]}"
    assert {name: (work / name).read_text() for name in own} == own
    published.check("evaluation", report)
    assert report["checkpoint"]["parameters_sha256"] == scorer.parameters_sha256
    assert report["config"]["model"]["modalities"] == ["landmarks"] and report["config"]["data"]["records"]
    assert report["calibration"]["temperature"] == 2.0 and report["calibration"]["bounds"] == [0.1, 0.9]
    lines = [json.loads(line) for line in (made / "scores.jsonl").read_text().splitlines()]
    assert lines and {line["split"] for line in lines} == {"test"}  # nothing is fitted to this data's validation
    for result in report["results"]:
        assert result["protocol"] == "in_dataset" and result["threshold"]["video_margin"] == -1.5
        assert "as the model was handed on" in result["threshold"]["note"]
    whole = report["results"][0]
    tested = [line for line in lines if line["compression"] == whole["test"]["compression"]]
    called_right = [(line["logit_margin"] >= -1.5) == line["label"] for line in tested]
    assert whole["clip"]["acc"] == pytest.approx(np.mean(called_right))


def test_on_another_data_set_it_is_cross_dataset(handed, tiny_records, tmp_path, capsys):
    records = tmp_path / "records"
    records.mkdir()
    (records / "mine").symlink_to(tiny_records / "faces")
    made, report = evaluated(tmp_path, records, handed[0], "mine")
    assert {result["protocol"] for result in report["results"]} == {"cross_dataset"}
    assert {result["test"]["dataset"] for result in report["results"]} == {"mine"}
    assert {result["train"]["dataset"] for result in report["results"]} == {"faces"}
    again, _ = evaluated(tmp_path, records, handed[0], "mine")
    assert again == made


def test_a_second_model_goes_to_a_folder_of_its_own(handed, tiny_records, tmp_path):
    folder, scorer = handed
    made, _ = evaluated(tmp_path, tiny_records, folder)
    kept = (made / "evaluation.json").read_bytes()
    config, _, _ = model_folder.read(folder)
    variables = jax.tree.map(lambda a: np.asarray(a) * np.float32(1.5), scorer.variables())
    other = scoring.Scorer(scorer.model, make_mesh(1), scorer._tokens, variables=variables, step=8)
    model_folder.write(tmp_path / "other", tmp_path, config, other, other.variables(), "# a card\n")
    file = tmp_path / "faces.py"
    assert (
        run_main("evaluate", f"--model={tmp_path / 'other'}", f"--config={file}", f"--workdir={made.parents[1]}") == 0
    )
    both = sorted(made.parent.iterdir())
    assert run_main("compare", *map(str, both)) == 0
    assert len(both) == 2 and (made / "evaluation.json").read_bytes() == kept


def test_mistakes_are_one_line(handed, tiny_records, tmp_path, capsys):
    assert run_main("evaluate", f"--model={handed[0]}") == 2
    assert "name it, --config=F" in capsys.readouterr().err
    file = tmp_path / "faces.py"
    file.write_text(CONFIG.format(records=str(tiny_records), name="faces"))
    given = (f"--config={file}", f"--workdir={tmp_path / 'work'}")
    for more, said in (
        ((f"--model={tmp_path / 'nothing'}",), "no such folder"),
        ((f"--model={tmp_path}",), "neither a run with checkpoints nor a folder of `main.py export`"),
        ((f"--model={handed[0]}", "--protocol=cross_datasets"), "did you mean 'cross_dataset'"),
        ((f"--model={handed[0]}", f"--config.data.records={tmp_path / 'absent'}"), "absent"),
    ):
        assert run_main("evaluate", *given, *more) == 2
        printed = capsys.readouterr().err
        assert printed.count("\n") == 1 and said in printed, printed
    assert run_main("train", f"--model={handed[0]}", *given) == 2
    assert "--model goes with predict, serve and evaluate" in capsys.readouterr().err
