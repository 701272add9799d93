"""Types of arrays in signatures. Shapes and dtypes are jaxtyping's; the tests check them at run time (conftest.py)."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

Size = Any  # of a dimension: an int, or a symbol where the number of clips is left free (portable/program.py)
AnyArray = jax.Array | np.ndarray  # of a function that is used inside and outside of JAX
