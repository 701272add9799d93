"""Eight simulated devices for every test, and one compilation cache for all runs of the suite."""

import os
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".jax_cache"

# Tests compile much and compute little: without LLVM's optimisations a training step compiles in 23 s of CPU, not 49.
os.environ["XLA_FLAGS"] = " --xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(CACHE)  # subprocesses share it
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.5"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["OPENBLAS_NUM_THREADS"] = "1"  # two processes' threads would wait for each other (data_prep/worker.py)

import jaxtyping  # noqa: E402 - the environment above must be set before anything imports JAX
import pytest  # noqa: E402

# Shapes, dtypes and types in the signatures of these are checked at every call, in tests alone.
jaxtyping.install_import_hook(
    ["cpml_jax.signal", "cpml_jax.losses", "cpml_jax.metrics", "cpml_jax.models"], "beartype.beartype"
)


def pytest_addoption(parser):
    parser.addoption("--record", action="store_true", help="with -m torch: write torch's numbers to tests/goldens")


@pytest.fixture(params=["recorded", pytest.param("live", marks=pytest.mark.torch)])
def torch_numbers(request):
    """(name, function, *arguments) -> torch's numbers, as tests/torch_numbers.py says."""
    import torch_numbers

    def numbers(name, function, *arguments):
        if request.param == "recorded":
            return torch_numbers.recorded(name)
        return torch_numbers.live(name, function, *arguments, record=request.config.getoption("--record"))

    return numbers


@pytest.fixture(scope="session")
def tiny_records(tmp_path_factory) -> Path:
    """A folder of finished records, `faces`, of noise clips in FF++'s structure; see tests/tiny.py."""
    import tiny

    return tiny.write_records(tmp_path_factory.mktemp("records"))


@pytest.fixture
def copied_records(tiny_records, tmp_path):
    """A RecordSet of one test, which may damage its files."""
    from cpml_jax.data.records import RecordSet

    return RecordSet(shutil.copytree(tiny_records / "faces", tmp_path / "faces"))
