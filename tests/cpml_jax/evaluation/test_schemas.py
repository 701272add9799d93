import json
import re

import jsonschema
import published
import pytest
from fake_evaluation import evaluated

from cpml_jax import json_schema
from cpml_jax.evaluation import schemas

NEW = "python -m cpml_jax.evaluation.schemas writes it anew"


def test_the_published_schemas_are_current():
    assert {path.name for path in published.FOLDER.iterdir()} == set(schemas.texts())
    for name, text in schemas.texts().items():
        assert (published.FOLDER / name).read_text() == text, f"docs/schemas/{name} is out of date: {NEW}"


def test_the_table_of_metrics_in_the_documentation_is_current():
    page = (schemas.DOCS / "evaluation.md").read_text()
    assert schemas.with_metrics(page) == page, f"docs/evaluation.md is out of date: {NEW}"
    assert schemas.metrics_table() in page


@pytest.mark.parametrize("name", schemas.FILES)
def test_a_schema_is_valid_and_every_part_is_defined_once(name):
    text = schemas.texts()[f"{name}.schema.json"]
    schema = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(schema)
    used = set(re.findall(r'"#/\$defs/(\w+)"', text))
    assert used == set(schema.get("$defs", {}))


def test_evaluation_and_sweep_share_their_parts():
    evaluation, sweep = (
        json.loads(schemas.texts()[f"{name}.schema.json"])["$defs"] for name in ("evaluation", "sweep")
    )
    assert sweep.keys() < evaluation.keys() and {name: evaluation[name] for name in sweep} == sweep


def test_a_part_that_is_not_defined_is_an_error():
    with pytest.raises(KeyError, match="nothing"):
        json_schema.document("t", json_schema.ref("nothing"), json_schema.BASIC)


def test_the_command_writes_both(tmp_path):
    (tmp_path / "evaluation.md").write_text(f"before\n{schemas.METRICS_BEGIN}\nformer\n{schemas.METRICS_END}\nafter\n")
    schemas.write(tmp_path)
    assert {path.name for path in (tmp_path / "schemas").iterdir()} == set(schemas.texts())
    page = (tmp_path / "evaluation.md").read_text()
    assert page.startswith("before\n") and page.endswith("\nafter\n") and "| `auc` |" in page and "former" not in page


def test_the_published_schema_takes_nothing_odd(tmp_path):
    report, _ = evaluated(tmp_path, protocols=("cross_dataset",))
    published.check("evaluation", json.loads(json.dumps(report)))
    result = report["results"][0]
    wrong = [
        report | {"schema": "cpml-evaluation/9"},
        report | {"extra": 1},
        {key: value for key, value in report.items() if key != "provenance"},
        report | {"results": [result | {"test": {"dataset": "b", "quality": "c23", "methods": []}}]},
        report | {"results": [result | {"condition": {"kind": "codec", "codec": "mpeg1", "crf": 3}}]},
    ]
    for value in wrong:
        with pytest.raises(published.Invalid):
            published.check("evaluation", json.loads(json.dumps(value)))
