import json
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from cpml_jax.configs import base
from cpml_jax.evaluation import provenance


class Records:
    def __init__(self, directory, sha256="a" * 64, index="{}\n"):
        directory.mkdir(exist_ok=True)
        (directory / "prepare.json").write_text(json.dumps({"sha256": sha256, "schema": "1.1.0"}))
        (directory / "clips.jsonl").write_text(index)
        self.directory, self.rows = directory, [{}, {}]


def test_the_hash_of_records_is_over_frames_and_index(tmp_path):
    described = provenance.describe_records(Records(tmp_path / "one"))
    assert described == provenance.describe_records(Records(tmp_path / "two"))
    assert described["clips"] == 2 and described["schema_version"] == "1.1.0" and len(described["sha256"]) == 64
    for other in (Records(tmp_path / "three", sha256="b" * 64), Records(tmp_path / "four", index='{"label": 1}\n')):
        assert provenance.describe_records(other)["sha256"] != described["sha256"]


def test_records_without_their_files_have_no_hash(tmp_path):
    records = Records(tmp_path / "one")
    (tmp_path / "one" / "clips.jsonl").unlink()
    assert provenance.describe_records(records) == {"sha256": None, "schema_version": None, "clips": 2}


TREE = {"params": {"b": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}, "a": np.ones(2, np.float32)}}


def test_the_hash_of_parameters_is_of_names_and_numbers():
    known = provenance.parameters_sha256(TREE)
    turned = {"params": dict(reversed(TREE["params"].items()))}
    assert len(known) == 64 and provenance.parameters_sha256(turned) == known
    assert provenance.parameters_sha256(jax.tree.map(jnp.asarray, TREE)) == known
    kernel = TREE["params"]["b"]["kernel"]
    for other in (kernel + np.float32(1e-6), kernel.reshape(3, 2), kernel.astype(np.float16)):
        assert provenance.parameters_sha256({"params": TREE["params"] | {"b": {"kernel": other}}}) != known
    assert provenance.parameters_sha256({"params": {"a": TREE["params"]["a"], "c": TREE["params"]["b"]}}) != known


def test_the_hash_of_parameters_is_the_same_however_they_are_sharded():
    mesh = jax.make_mesh((2,), ("data",), devices=jax.devices()[:2]) if len(jax.devices()) > 1 else None
    if mesh is None:
        pytest.skip("one device")
    kernel = jax.device_put(np.arange(6, dtype=np.float32).reshape(2, 3), NamedSharding(mesh, PartitionSpec("data")))
    sharded = {"params": {"b": {"kernel": kernel}, "a": TREE["params"]["a"]}}
    assert provenance.parameters_sha256(sharded) == provenance.parameters_sha256(TREE)


def test_the_hash_of_a_configuration_is_of_what_shapes_training():
    config = base.get_config()
    known = provenance.config_sha256(config.to_dict())
    assert known == provenance.config_sha256(json.loads(json.dumps(config.to_dict())))
    for key, value in (("optim.learning_rate", 0.5), ("loss.push", 9.0), ("seed", 5), ("data.num_frames", 64)):
        changed = base.get_config()
        changed.update_from_flattened_dict({key: value})
        assert provenance.config_sha256(changed.to_dict()) != known, key
    for key, value in (("eval.batch_size", 5), ("data.workers", 5), ("train.eval_every", 5), ("data.records", "x")):
        changed = base.get_config()
        changed.update_from_flattened_dict({key: value})
        assert provenance.config_sha256(changed.to_dict()) == known, key


def test_a_model_is_the_same_wherever_the_weights_that_it_started_from_lie_now():
    def of(source):
        config = base.get_config()
        config.model.text_encoder.weights = source
        return provenance.config_sha256(config.to_dict())

    assert of("/data/clip") == of("/other/place") != of("")


def test_packages_that_are_not_installed_have_no_version():
    assert provenance.version("no-such-package-of-ours") is None and provenance.version("numpy")
    versions = provenance.provenance({})["versions"]
    assert set(versions) == {"python", *provenance.PACKAGES} and versions["jax"]


@pytest.mark.parametrize("error", [FileNotFoundError("git"), subprocess.TimeoutExpired("git", 20)])
def test_without_git_there_is_no_commit(monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(provenance.subprocess, "run", fail)
    assert provenance.commit() is None


def test_changed_files_show_behind_the_commit(monkeypatch):
    answers = {"ls-files": "provenance.py", "status": " M a.py", "rev-parse": "c0ffee"}

    def git(command, **_):
        return subprocess.CompletedProcess(command, 0, stdout=answers[command[3]] + "\n")

    monkeypatch.setattr(provenance.subprocess, "run", git)
    assert provenance.commit() == "c0ffee+"
    answers["status"] = ""
    assert provenance.commit() == "c0ffee"
    answers["ls-files"] = ""  # installed below another project's checkout
    assert provenance.commit() is None
