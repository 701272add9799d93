"""What was written is what is read: every file that a score rests on, one bit of it changed."""

import subprocess

import pytest

from cpml_jax import sums
from cpml_jax.errors import UserError
from cpml_jax.training import run_files


@pytest.fixture
def listed(tmp_path):
    (tmp_path / "a b.json").write_text("{}")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/c.npz").write_bytes(bytes(range(100)))
    with sums.renewed(tmp_path / "all.sha256", ["a b.json", "deep/c.npz", "absent"]):
        pass
    return tmp_path / "all.sha256"


def flipped(path, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    path.write_bytes(data)


def test_sha256sum_reads_the_list(listed):
    done = subprocess.run(["sha256sum", "-c", listed.name], cwd=listed.parent, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.splitlines() == ["a b.json: OK", "deep/c.npz: OK"]
    assert sums.damage(listed) is None and sums.damage(listed, inside="deep") == f"{listed}: damaged"


@pytest.mark.parametrize("bit", [0, 7, 399, 799])
def test_every_bit_counts(listed, bit):
    flipped(listed.parent / "deep/c.npz", bit)
    assert sums.damage(listed) == f"{listed.parent / 'deep/c.npz'}: damaged"
    assert sums.damage(listed, up_to=99) is None


def test_a_flip_in_the_list_itself_names_a_file(listed):
    whole = listed.read_bytes()
    for bit in range(0, 8 * len(whole), 5):
        listed.write_bytes(whole)
        flipped(listed, bit)
        assert sums.damage(listed)


def test_nothing_outside_is_opened(listed, tmp_path):
    for name in ("../secret", "/etc/passwd", "deep/../../secret"):
        listed.write_text(f"{'0' * 64}  {name}\n")
        assert sums.damage(listed) == f"{listed}: damaged"


def test_a_file_that_is_gone_counts_where_it_must_be_there(listed):
    (listed.parent / "a b.json").unlink()
    assert sums.damage(listed) == f"{listed.parent / 'a b.json'}: missing" and sums.damage(listed, gone=False) is None


def test_what_is_killed_while_it_writes_has_no_list(listed):
    """The files of two evaluations would not fit one list."""
    with pytest.raises(KeyboardInterrupt), sums.renewed(listed, ["a b.json"]):
        (listed.parent / "a b.json").write_text("[]")
        raise KeyboardInterrupt
    assert not listed.exists() and sums.damage(listed) is None


@pytest.mark.parametrize("name", [run_files.CONFIG, run_files.TRAINING_DATA, run_files.PROMPTS, run_files.NETWORK])
def test_a_run_with_a_damaged_file_is_refused_by_name(tmp_path, name):
    with run_files.renewed(tmp_path):
        run_files.write_network(tmp_path, {"tokens": [[1, 2]]})
        run_files.write_config(tmp_path, {"model": {"dim": 8}, "eval": {"level": 5}})
        run_files.write_prompts(tmp_path, {"real": ("a",), "fake": ("b",)})
        run_files.write_training_data(tmp_path, "faces", {"001", "002"}, {"sha256": "0"})
    run_files.check_config(tmp_path, {"model": {"dim": 8}, "eval": {"level": 6}}, resume=False)
    file = tmp_path / run_files.FOLDER / name
    text = file.read_text()
    for before, after in (("2", "3"), ("5", "7"), ('"a"', '"c"'), ("001", "003")):  # still JSON, of other meaning
        if before in text:
            file.write_text(text.replace(before, after))
            with pytest.raises(UserError, match=f"{name}: damaged since it was written"):
                run_files.check_config(tmp_path, {"model": {"dim": 8}, "eval": {"level": 6}}, resume=False)
