"""No file is opened in a way that could run its writer's code: held by reading the source."""

import ast
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("cpml_jax", "data_prep", "configs", "benchmarks")
# Reads tensors and the tables around them, and looks every name up in a table of its own.
TENSORS_ALONE = {"cpml_jax/pretrained/torch_pickle.py"}
EXECUTING = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
CALLS = {"eval", "exec", "read_pickle", "unsafe_load", "full_load"}


def sources() -> dict[str, ast.Module]:
    files = [ROOT / "main.py", *(file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.py")))]
    return {str(file.relative_to(ROOT)): ast.parse(file.read_text()) for file in files if file.exists()}


def executing(tree: ast.Module) -> list[str]:
    """What of a module could run what a file says."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [name.name for name in node.names if name.name.split(".")[0] in EXECUTING]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in EXECUTING:
            found.append(node.module)
        elif isinstance(node, ast.Call):
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            owner = function.value if isinstance(function, ast.Attribute) else None
            if name in CALLS and (owner is None or name not in ("eval", "exec")):
                found.append(name)
            if isinstance(owner, ast.Name) and owner.id == "torch" and name == "load":
                found.append("torch.load")
            allowed = [keyword.value for keyword in node.keywords if keyword.arg == "allow_pickle"]
            if any(not (isinstance(value, ast.Constant) and value.value is False) for value in allowed):
                found.append("allow_pickle")
    return found


def test_no_source_reads_what_runs_code():
    read = sources()
    assert len(read) > 200 and TENSORS_ALONE <= read.keys()
    found = {name: what for name, tree in read.items() if (what := executing(tree)) and name not in TENSORS_ALONE}
    assert found == {}


@pytest.mark.parametrize(
    "code",
    [
        "import pickle", "from pickle import loads", "import torch\ntorch.load('x')", "np.load(p, allow_pickle=True)",
        "np.load(p, allow_pickle=x)", "eval('1')", "pd.read_pickle(p)", "import joblib.numpy_pickle",
    ],
)  # fmt: skip
def test_the_reading_sees_each_way(code):
    assert executing(ast.parse(code))


class Planted:
    """Pickled, it makes a folder when it is opened."""

    def __init__(self, folder: Path):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_a_strangers_work_folder_runs_nothing(tmp_path):
    """Work files of version 0.2.0 under every name that it gave them, with somebody's code in them."""
    import numpy as np
    from odd.encoder import encode

    from data_prep.records.process import group_key
    from data_prep.sources import Source

    (tmp_path / "videos/real").mkdir(parents=True)
    video = tmp_path / "videos/real/a.mp4"
    encode(video, [np.full((64, 64, 3), 90, np.uint8)] * 4)
    (group,) = [Source("folder", "folder", tmp_path / "videos").list_videos()]
    work, ran = tmp_path / "records/folder/work", tmp_path / "ran"
    work.mkdir(parents=True)
    for name in (f"{group_key(group)}.pickle", f"{group_key(group)}.index", "without.pickle", "x.plan"):
        (work / name).write_bytes(pickle.dumps(([Planted(ran)], [])))
    command = [
        sys.executable, str(ROOT / "main.py"), "prepare", f"--config=configs/folder.py:{tmp_path / 'videos'}",
        f"--workdir={tmp_path / 'run'}", f"--config.data.records={tmp_path / 'records'}", "--config.data.workers=1",
    ]  # fmt: skip
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert not ran.exists() and "Traceback" not in said.stderr
    (line,) = [line for line in said.stderr.splitlines() if "earlier version" in line]
    assert f"{work}: 4 work files" in line and "prepared anew" in line
