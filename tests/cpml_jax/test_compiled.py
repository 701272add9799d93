"""Where compiled programs are kept, and where they are not."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from cpml_jax import compiled


@pytest.fixture
def options(monkeypatch, tmp_path):
    """What `keep` sets of JAX's options, whose cache is not set; the cache folder is tmp_path's."""
    held = {}
    config = SimpleNamespace(jax_compilation_cache_dir=None, update=lambda key, value: held.update({key: value}))
    monkeypatch.setattr(compiled, "jax", SimpleNamespace(config=config))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    held["config"] = config
    return held


def kept(options) -> str | None:
    compiled.keep()
    return options.get("jax_compilation_cache_dir")


def test_programs_are_kept_in_a_folder_that_nobody_else_may_write(options, tmp_path):
    assert kept(options) == str(tmp_path / "cpml-jax/compiled") == str(compiled.folder())
    assert compiled.folder().stat().st_mode & 0o777 == 0o700
    assert options["jax_compilation_cache_max_size"] == compiled.LARGEST
    assert options["jax_persistent_cache_min_compile_time_secs"] == 0


def test_the_users_own_cache_stays(options, tmp_path):
    options["config"].jax_compilation_cache_dir = "/elsewhere"
    assert kept(options) is None and not list(tmp_path.iterdir())


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o722])
def test_a_folder_that_others_may_write_to_is_not_used(options, mode):
    """A program is machine code: what somebody else put there would run."""
    compiled.folder().mkdir(parents=True)
    compiled.folder().chmod(mode)
    assert kept(options) is None


def test_a_folder_of_another_user_is_not_used(options, monkeypatch):
    compiled.folder().mkdir(parents=True, mode=0o700)
    monkeypatch.setattr(compiled.os, "getuid", lambda: 12345)
    assert kept(options) is None


def test_without_a_folder_everything_else_goes_on(options, tmp_path, monkeypatch):
    (tmp_path / "cpml-jax").write_text("in the way")
    assert kept(options) is None

    def homeless():
        raise RuntimeError("no home")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    assert kept(options) is None
