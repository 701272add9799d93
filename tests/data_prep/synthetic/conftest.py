import pytest
from drawn import SMALL

from data_prep.synthetic.generate import generate


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    root = tmp_path_factory.mktemp("small")
    generate(str(root), **SMALL)
    return root


@pytest.fixture(scope="session", params=["a", "b"])
def faces(request, tmp_path_factory):
    root = tmp_path_factory.mktemp(f"faces_{request.param}")
    generate(str(root), **SMALL | dict(style=request.param, size=160, compressions={"test": ("raw", "c40")}))
    return root
