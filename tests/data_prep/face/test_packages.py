import pytest

from cpml_jax.errors import UserError
from data_prep.face import packages


def test_patch_releases_of_a_package_are_one_release(monkeypatch):
    monkeypatch.setattr(packages.importlib.metadata, "version", lambda _: "2.6.11.post1")
    assert packages.release("facenet-pytorch") == "2.6"


def test_a_package_that_is_not_installed_is_one_line():
    with pytest.raises(UserError, match="'no-such-package'.*uv sync --group prepare"):
        packages.release("no-such-package")
