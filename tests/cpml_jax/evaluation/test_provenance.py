import json
import subprocess

import pytest

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
