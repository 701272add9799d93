"""PyTorch files read without torch: torch's own numbers, and nothing of what a hostile or broken file asks for.

Files that torch writes anew, and torch's reading of ours: test_torch_file_live.py.
"""

import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch_writer import refused, save

from cpml_jax.errors import UserError
from cpml_jax.pretrained import torch_file

FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


LINEAR = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.float32([7, 8])}
TORCHS = np.load(Path(__file__).parents[2] / "goldens/torch_files.npz")  # files that torch wrote; what was in them


def recorded_files() -> list[str]:
    return sorted({key.split("/")[0] for key in TORCHS.files})


@pytest.mark.parametrize("name", recorded_files())
def test_files_that_torch_wrote(tmp_path, name):
    """Every type of number, views of larger storages, and a module with its trainer around it, in both formats."""
    path = tmp_path / "w.pt"
    path.write_bytes(TORCHS[f"{name}/file"].tobytes())
    held = {key.split("/", 2)[2]: TORCHS[key] for key in TORCHS.files if key.startswith(f"{name}/array/")}
    ours = torch_file.read(path)
    assert len(held) >= 10 and ours.state.keys() == held.keys()
    for key, array in held.items():
        kind, values = str(TORCHS[f"{name}/kind/{key}"]), ours.state[key]
        assert str(values.dtype) == kind
        np.testing.assert_array_equal(values.astype(np.float64), array, strict=True)
    assert ours.skipped == (["epoch: int", "optimizer: dict", "note: str"] if "module" in name else [])


@FORMATS
def test_files_without_one_state_dictionary(tmp_path, zipped):
    weights = {"w": np.ones(2, np.float32)}
    refused(save({"model": weights, "net": weights}, tmp_path / "two.pt", zipped), "several", "model", "net")
    refused(save({"epoch": 1}, tmp_path / "none.pt", zipped), "no tensors", "epoch")
    refused(save({}, tmp_path / "empty.pt", zipped), "no tensors")
    refused(save(np.ones(2, np.float32), tmp_path / "tensor.pt", zipped), "a tensor instead")
    refused(save([np.ones(2, np.float32)], tmp_path / "list.pt", zipped), "a list instead")


# --- hostile pickles ------------------------------------------------------------------------------------------


class Reduced:
    """Pickles as a call."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


class Stateful:
    """Pickles as an object with __setstate__."""

    def __setstate__(self, state):
        raise AssertionError("it ran")

    def __getstate__(self):
        return {"a": 1}


def hostile(path, pickled: bytes, zipped: bool):
    """A PyTorch file whose pickle is `pickled`."""
    if zipped:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickled)
            archive.writestr("archive/version", "3\n")
        return path
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    head = b"".join(pickle.dumps(x, 2) for x in (torch_file.MAGIC, torch_file.PROTOCOL, system))
    path.write_bytes(head + pickled + pickle.dumps([], 2))
    return path


@FORMATS
@pytest.mark.parametrize("protocol", [2, 4])
def test_code_in_a_file_is_named_and_not_run(tmp_path, zipped, protocol):
    flag = tmp_path / "ran"
    calls = {
        "system": Reduced(os.system, (f"touch {flag}",)), "eval": Reduced(eval, (f"open({str(flag)!r}, 'w')",)),
        "Stateful": Stateful(), "Popen": Reduced(__import__("subprocess").Popen, (["touch", str(flag)],)),
        "getattr": Reduced(getattr, ("", "join")), "scalar": np.float64(0.5),
    }  # fmt: skip
    for name, value in calls.items():
        pickled = pickle.dumps({"w": value}, protocol)
        refused(hostile(tmp_path / "w.pt", pickled, zipped), name)
        assert not flag.exists()
    (tmp_path / "first.pt").write_bytes(pickle.dumps(calls["system"], protocol))
    refused(tmp_path / "first.pt", "system")
    assert not flag.exists()


@FORMATS
@pytest.mark.parametrize(
    "pickled",
    [
        b"\x80\x02}X\x01\x00\x00\x00wK\x01r\xff\xff\xff\xffs.",  # a memo of 2^32 entries
        b"\x80\x02ccollections\nOrderedDict\n)\x81.",  # NEWOBJ
        b"\x80\x02(ios\nsystem\n.",  # INST
        b"\x80\x02(cos\nsystem\no.",  # OBJ
        b"\x80\x02\x82\x01.",  # EXT1
        b"\x80\x02Pstorage\n.",  # PERSID
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}X\x05\x00\x00\x00_callK\x01sb.",  # sets a function's attributes
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}X\x09\x00\x00\x00_callableK\x01s\x86b.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x00K\x01K\x01tR.",  # of no storage
        b"\x80\x02ctorch\nFloatStorage\nK\x01\x85R.",  # calls a storage type
        b"\x80\x02X\x01\x00\x00\x00wQ.",  # a persistent id that is a string
        b"\x80\x02(X\x06\x00\x00\x00modulectorch\nSize\nX\x01\x00\x00\x00aX\x01\x00\x00\x00btQ.",
        b"\x80\x02ctorch\n\xff\n.",
        b"\x80\x04\x8c\x05torch\x8c\x08os.sys\nm\x93.",  # a name with a line break
        b"\x80\x02]}K\x01s.",  # sets an item of a list's neighbour, leaves a list below
        b"\x80\x02}]K\x01s.",  # unhashable key
        b"\x80\x02tR.",
        b"\x80\x02.",
        b"",
    ],
)  # fmt: skip
def test_pickles_that_torch_never_writes(tmp_path, zipped, pickled):
    refused(hostile(tmp_path / "w.pt", pickled, zipped))


# --- damage ---------------------------------------------------------------------------------------------------


@FORMATS
def test_a_file_cut_off_anywhere(tmp_path, zipped):
    whole = save(
        {f"layer{i}": np.ones((5, i + 1), np.float32) for i in range(4)}, tmp_path / "w.pt", zipped
    ).read_bytes()
    for twentieth in range(20):
        (tmp_path / "cut.pt").write_bytes(whole[: len(whole) * twentieth // 20])
        refused(tmp_path / "cut.pt")
    (tmp_path / "cut.pt").write_bytes(whole[:-1])
    refused(tmp_path / "cut.pt")


@pytest.fixture(scope="module", params=[True, False], ids=["zip", "legacy"])
def whole(request, tmp_path_factory):
    path = save(LINEAR, tmp_path_factory.mktemp("whole") / "w.pt", request.param)
    return request.param, path.read_bytes()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255))
def test_a_changed_byte_gives_the_same_numbers_or_one_line(tmp_path, whole, place, value):
    zipped, content = whole
    changed = bytearray(content)
    changed[int(place * len(content))] = value
    (tmp_path / "w.pt").write_bytes(changed)
    try:
        state = torch_file.read(tmp_path / "w.pt").state
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert all(isinstance(v, np.ndarray) for v in state.values())
        if zipped:  # the older format has no checksums
            for name in state.keys() & LINEAR.keys():
                np.testing.assert_array_equal(np.sort(state[name], None), np.sort(LINEAR[name], None))


def rewritten(path, target, change):
    """A copy of a zip file whose members went through change(name, bytes) -> bytes or None."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            if (content := change(name, old.read(name))) is not None:
                new.writestr(name, content)
    return target


def test_zip_archives_that_torch_does_not_write(tmp_path):
    path = save({"w": np.ones(8, np.float32)}, tmp_path / "w.pt")
    target = tmp_path / "x.pt"
    assert rewritten(path, target, lambda n, b: b) and torch_file.read(target).state["w"].sum() == 8
    refused(rewritten(path, target, lambda n, b: b[:-4] if n.endswith("data/0") else b), "28 bytes instead of 32")
    refused(rewritten(path, target, lambda n, b: b + b"123" if n.endswith("data/0") else b), "35 bytes instead of 32")
    refused(rewritten(path, target, lambda n, b: None if n.endswith("data/0") else b), "it has no w/data/0")
    refused(rewritten(path, target, lambda n, b: None if n.endswith("data.pkl") else b), "without a data.pkl")
    refused(rewritten(path, target, lambda n, b: b"big" if n.endswith("byteorder") else b), "big-endian")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name) if not name.endswith("data/0") else bytes(10**6))
    refused(target, "compressed")
    with zipfile.ZipFile(rewritten(path, target, lambda n, b: b), "a") as archive:
        archive.writestr("w/constants.pkl", b"")  # which marks a program
    refused(target, "TorchScript")


@FORMATS
def test_tensors_that_claim_more_than_there_is(tmp_path, zipped):
    """The sizes in the pickle are rewritten: K\\x03 is the length 3, and stands twice, in the shape and the storage."""
    path = save({"w": np.arange(3, dtype=np.float32)}, tmp_path / "w.pt", zipped)
    content = path.read_bytes()
    if zipped:
        target = rewritten(path, tmp_path / "x.pt", lambda n, b: b.replace(b"K\x03\x85", b"K\x04\x85"))
    else:
        assert content.count(b"K\x03\x85") == 1
        target = tmp_path / "x.pt"
        target.write_bytes(content.replace(b"K\x03\x85", b"K\x04\x85"))
    refused(target, "reaches past its storage of 3")
    # Ten billion numbers from one, by a stride of 0.
    save({"w": np.broadcast_to(np.float32(1), 10_000_000_000)}, tmp_path / "bomb.pt", zipped)
    refused(tmp_path / "bomb.pt", "too large")


def test_a_storage_count_that_is_not_the_pickles(tmp_path):
    path = save({"w": np.arange(3, dtype=np.float32)}, tmp_path / "w.pt", zipped=False)
    content = path.read_bytes()
    assert content.endswith(struct.pack("<q3f", 3, 0, 1, 2))
    for count in (-1, 2, 4, 2**62):
        path.write_bytes(content[:-20] + struct.pack("<q3f", count, 0, 1, 2))
        refused(path, "storage")
    big = content.replace(b"little_endianq\x04\x88", b"little_endianq\x04\x89")
    if big != content:  # where the pickler numbers its memo so
        path.write_bytes(big)
        refused(path, "big-endian")


def test_what_is_no_pytorch_file(tmp_path):
    import tarfile

    refused(tmp_path, "a folder")
    refused(tmp_path / "none.pt", "no such file")
    for name, content in {
        "empty": b"", "text": b"hello", "safetensors": struct.pack("<Q", 2) + b"{}", "hdf5": b"\x89HDF\r\n\x1a\n" * 99,
        "zip": b"PK\x03\x04" + bytes(600), "pickle": pickle.dumps({"w": [1.0]}),
    }.items():  # fmt: skip
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name)
    with tarfile.open(tmp_path / "tar.pt", "w") as archive:
        archive.addfile(tarfile.TarInfo("sys_info"))
    refused(tmp_path / "tar.pt", "tar archive")
