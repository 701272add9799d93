"""A cubic smoothing spline. Ours, since loading SciPy's takes as long as reading a video of ten seconds."""

from __future__ import annotations

import numpy as np


def smoothing_spline(times: np.ndarray, values: np.ndarray, penalty: float, at: np.ndarray) -> np.ndarray:
    """The g of least sum (values - g(times))^2 + penalty * integral of g''^2: a natural cubic spline.

    Reinsch's algorithm (Numerische Mathematik 10, 1967): the second derivatives c at the inner times solve
    (R + penalty Q'Q) c = Q' values, and g(times) = values - penalty Q c, where Q' takes second divided differences.

    Args:
      times: (N,), increasing, N at least 3. values: (N, K). at: (T,); beyond the times, the end's cubic goes on.

    Returns:
      (T, K) float64.
    """
    step = np.diff(times)
    rate = 1 / step
    middle = rate[:-1] + rate[1:]
    bands = (
        (step[:-1] + step[1:]) / 3 + penalty * (rate[:-1] ** 2 + middle**2 + rate[1:] ** 2),
        step[1:-1] / 6 - penalty * rate[1:-1] * (middle[:-1] + middle[1:]),
        penalty * rate[1:-2] * rate[2:-1],
    )
    second = np.zeros((len(times), values.shape[1]))
    second[1:-1] = solve_banded(*bands, np.diff(np.diff(values, axis=0) * rate[:, None], axis=0))
    fitted = values - penalty * np.diff(np.diff(second, axis=0) * rate[:, None], axis=0, prepend=0, append=0)

    left = np.clip(np.searchsorted(times, at, side="right") - 1, 0, len(times) - 2)
    width = step[left][:, None]
    b = (at - times[left])[:, None] / width
    a = 1 - b
    bend = (a**3 - a) * second[left] + (b**3 - b) * second[left + 1]
    return a * fitted[left] + b * fitted[left + 1] + bend * width**2 / 6


def solve_banded(diagonal: np.ndarray, first: np.ndarray, second: np.ndarray, right: np.ndarray) -> np.ndarray:
    """x of A x = right, A symmetric, positive definite and of five diagonals, as L D L'.

    Not np.linalg.solve: LAPACK's threads, of two processes on two cores, may wait for each other for ever
    (worker.one_blas_thread). A millisecond for 128 unknowns, either way.

    Args:
      diagonal: (N,). first, second: (N - 1,) and (N - 2,), beside it. right: (N, K).

    Returns:
      (N, K) float64.
    """
    count = len(diagonal)
    pivots = diagonal.tolist()
    near, far = [*first.tolist(), 0.0], [*second.tolist(), 0.0, 0.0][:count]  # those of L, below its ones
    x = right.astype(np.float64)
    for i in range(count):
        for before, factors in ((i - 1, near), (i - 2, far)):
            if before >= 0:
                pivots[i] -= pivots[before] * factors[before] ** 2
                x[i] -= factors[before] * x[before]
        if i:
            near[i] -= pivots[i - 1] * near[i - 1] * far[i - 1]
        near[i] /= pivots[i]
        far[i] /= pivots[i]
    for i in reversed(range(count)):
        x[i] /= pivots[i]
        for after, factor in ((i + 1, near[i]), (i + 2, far[i])):
            if after < count:
                x[i] -= factor * x[after]
    return x
