"""Types of arrays in signatures. Shapes and dtypes are jaxtyping's; the tests check them at run time (conftest.py)."""

from __future__ import annotations

import jax
import numpy as np

AnyArray = jax.Array | np.ndarray  # of a function that is used inside and outside of JAX
