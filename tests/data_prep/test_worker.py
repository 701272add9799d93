"""What processes that read videos are started with."""

import concurrent.futures
import multiprocessing
import os
import signal

import pytest
import threadpoolctl

from data_prep.worker import BLAS_THREADS, starting


def blas_threads():
    import numpy  # noqa: F401 - which loads OpenBLAS

    return {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["internal_api"] == "openblas"}


def in_a_process(function, *arguments):
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool, starting():
        return pool.submit(function, *arguments).result()


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core")
def test_one_thread_of_blas_and_the_environment_is_as_before(monkeypatch):
    monkeypatch.delenv(BLAS_THREADS)
    assert in_a_process(blas_threads) <= {1}  # of none, where NumPy has another BLAS
    assert BLAS_THREADS not in os.environ


def test_what_the_user_has_set_stays(monkeypatch):
    monkeypatch.setenv(BLAS_THREADS, "3")
    assert in_a_process(os.getenv, BLAS_THREADS) == os.environ[BLAS_THREADS] == "3"


def test_the_environment_is_as_before_after_an_error_too(monkeypatch):
    monkeypatch.delenv(BLAS_THREADS)
    with pytest.raises(OSError), starting():
        raise OSError
    assert BLAS_THREADS not in os.environ
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
