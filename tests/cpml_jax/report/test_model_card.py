"""The model card says what evaluation.json says, and that there is none where there is none."""

import yaml

from cpml_jax.configs import synthetic
from cpml_jax.report import model_card


def result(compression, auc, methods=("Deepfakes", "FaceSwap"), **more):
    interval = None if auc is None else [auc - 0.1, auc + 0.1]
    return {
        "train": {"dataset": "a", "compressions": ["raw", "c23"], "methods": ["Deepfakes", "FaceSwap"]},
        "test": {"dataset": "a", "compression": compression, "methods": list(methods)},
        "condition": None,
        "video": {"auc": auc, "auc_ci95": interval, "n_real": 4, "n_fake": 8},
        "doubt": {"undetermined": 0.25},
    } | more


def parts(text):
    _, metadata, body = text.split("---\n", 2)
    return yaml.safe_load(metadata), body


def test_figures_are_those_of_the_tests_on_all_kinds():
    results = {
        "results": [
            result("raw", 0.9),
            result("raw", 0.1, methods=("FaceSwap",)),
            result("c40", 0.2, condition="blur-2"),
            result("c40", 0.625),
            result("c23", None),
        ],
        "doubt": {"note": "few people"},
    }
    metadata, body = parts(model_card.card(synthetic.get_config().to_dict(), results, 40))
    (index,) = metadata["model-index"]
    given = {r["dataset"]["name"]: r["metrics"][0]["value"] for r in index["results"]}
    assert given == {"a raw": 0.9, "a c40": 0.625}
    rows = [line for line in body.splitlines() if line.startswith("| a |")]
    assert rows == [
        "| a | raw | yes | 4 real, 8 fake | 0.90 | 0.80 to 1.00 | 25 % |",
        "| a | c40 | no | 4 real, 8 fake | 0.62 | 0.53 to 0.72 | 25 % |",
    ]
    assert "the checkpoint of step 40" in body and "few people" in body and "not evaluated" not in body


def test_an_unevaluated_model_says_so_and_claims_nothing():
    metadata, body = parts(model_card.card(synthetic.get_config().to_dict(), None, 0))
    assert "model-index" not in metadata and "This model was not evaluated" in body and "Measured" not in body


def test_a_name_cannot_break_the_metadata():
    config = synthetic.get_config()
    config.name = 'odd: "name"\n---\n'
    text = model_card.card(config.to_dict(), {"results": [result("raw", 0.9)]}, 1)
    metadata = yaml.safe_load(text.split("\n---\n", 1)[0].removeprefix("---\n"))
    assert metadata["model-index"][0]["name"] == config.name
