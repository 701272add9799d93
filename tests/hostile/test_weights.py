"""Weights and arrays of every format, damaged and lying: read, or refused in one line, in little memory."""

import io
import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from hostile import counts, mutations, weights
from hostile.bench import Sandbox, not_a_reason

FEW, WHOLE = 18, 1000  # mutations of a format
MORE = 300  # MB, that reading a small file may take
DATA = 4_000_000_000  # bytes that the process may ask for


def read_all(tmp_path, files: list[tuple[str, bytes]]) -> list[dict]:
    """What comes of each (format, bytes), in one process."""
    box = Sandbox(tmp_path)
    lines = []
    for number, (name, data) in enumerate(files):
        path = box.videos / str(number) / "file.bin"
        path.parent.mkdir()
        path.write_bytes(data)
        lines.append(json.dumps({"format": name, "path": str(path)}))
    done = subprocess.run(
        [sys.executable, "-m", "hostile.weights_worker", str(DATA)], input="\n".join(lines), capture_output=True,
        text=True, cwd=box.root / "work", env=box.environment(), check=False,
    )  # fmt: skip
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and len(told) == len(files), (done.returncode, len(told), done.stderr[-2000:])
    assert (box.root / "home/mine.txt").read_text() == "mine"
    return told


def wrong(files: list[tuple[str, bytes]], told: list[dict]) -> list[str]:
    found = []
    for number, ((name, _), said) in enumerate(zip(files, told, strict=True)):
        if said["kind"]:
            found.append(f"{number}, {name}: {said['kind']}: {said['error'][:200]}")
        elif not said["read"] and ("\n" in said["error"] or not_a_reason(said["error"].partition(": ")[2] or "x")):
            found.append(f"{number}, {name}: {said['error'][:300]}")
        elif said["megabytes"] > MORE:
            found.append(f"{number}, {name}: {said['megabytes']} MB")
    return found


def mutated(examples: int, name: str) -> list[tuple[str, bytes]]:
    whole = weights.FORMATS[name][0]()
    return [(name, whole)] + [(name, mutations.mutated(whole, number)[1]) for number in range(examples)]


def check(part: str, files: list[tuple[str, bytes]], told: list[dict]) -> None:
    read = sum(said["read"] for said in told)
    counts.say({
        "part": part, "cases": len(told), "answers": read, "refused": len(told) - read,
        "most MB": max(said["megabytes"] for said in told), "most s": max(said["seconds"] for said in told),
    })  # fmt: skip
    assert wrong(files, told) == []


def test_some_damaged_files(tmp_path):
    files = [one for name in weights.FORMATS for one in mutated(FEW, name)]
    check("some damaged weights", files, read_all(tmp_path, files))


@pytest.mark.hostile
@pytest.mark.parametrize("name", weights.FORMATS)
def test_damaged_files(tmp_path, name):
    files = mutated(WHOLE, name)
    told = read_all(tmp_path, files)
    assert told[0]["read"], told[0]
    check(f"weights: {name}", files, told)


# --- files that lie ---------------------------------------------------------------------------------------------------


def hdf5(tmp_path, make) -> bytes:
    import h5py

    with h5py.File(tmp_path / "made.h5", "w") as file:
        make(file, h5py)
    return (tmp_path / "made.h5").read_bytes()


def claims_much(file, _):
    """Nothing is stored of 200 GB of zeros."""
    file.create_dataset("layers/x", shape=(50_000_000_000,), dtype="f4", chunks=(1 << 20,))


def inflates(file, _):
    """512 MB of zeros in half a megabyte."""
    held = file.create_dataset("layers/x", shape=(1 << 27,), dtype="f4", chunks=(1 << 22,), compression="gzip")
    for at in range(0, 1 << 27, 1 << 22):
        held[at : at + (1 << 22)] = np.zeros(1 << 22, np.float32)


def holds_text(file, h5py):
    file.create_dataset("layers/x", data=["a", "b"], dtype=h5py.string_dtype())


def of_another_file(secret):
    def make(file, h5py):
        file.create_dataset("layers/x", (4,), "u1", external=[(str(secret), 0, 4)])

    return make


def virtual(secret):
    def make(file, h5py):
        layout = h5py.VirtualLayout((4,), "f4")
        layout[:] = h5py.VirtualSource(str(secret), "x", (4,))
        file.create_virtual_dataset("layers/x", layout)

    return make


def test_lying_hdf5(tmp_path):
    """A size that nothing backs, zeros that inflate, text, and data sets that lie in other files of the reader's."""
    import h5py

    (tmp_path / "secret").write_bytes(b"mine")
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = np.arange(4, dtype="f4")
    makers = {
        "claims": claims_much, "inflates": inflates, "text": holds_text,
        "external": of_another_file(tmp_path / "secret"), "virtual": virtual(tmp_path / "secret.h5"),
    }  # fmt: skip
    files = [("HDF5", hdf5(tmp_path, make)) for make in makers.values()]
    told = read_all(tmp_path / "box", files)
    check("lying HDF5", files, told)
    assert [said["read"] for said in told] == [False] * len(files), list(zip(makers, told, strict=True))


def bomb() -> bytes:
    """An npz whose array inflates to 512 MB, from half a megabyte."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("clip_id.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "<f4", "fortran_order": False, "shape": (1 << 27,)})
        for _ in range(32):
            member.write(bytes(1 << 24))
    return file.getvalue()


def test_lying_npz(tmp_path):
    files = [(name, bomb()) for name in ("npz of features", "npz of doubt", "npz of work")]
    check("lying npz", files, read_all(tmp_path, files))


def test_names_in_an_export_that_lead_nowhere(tmp_path):
    from safetensors.numpy import save

    names = ("a", "", "/", "params", "params//x", "params/a/weight/x", "batch_stats/a/weight")
    files = [("safetensors of an export", save({name: np.ones(3, np.float32)})) for name in names]
    check("names of an export", files, read_all(tmp_path, files))
