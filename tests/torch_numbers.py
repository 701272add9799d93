"""Numbers that torch gave, recorded in goldens/torch.npz, and where torch is installed its own.

A test that takes the fixture `torch_numbers` runs twice: against what was recorded and, with -m torch, against torch,
whose numbers are also those recorded. To record anew: uv run --group torch pytest -n 0 -m torch --record
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).resolve().parent / "goldens/torch.npz"


def recorded(name: str) -> np.ndarray:
    with np.load(FILE) as file:
        return file[name]


def live(name: str, function: Callable[..., Any], *arguments: Any, record: bool) -> np.ndarray:
    """function(*arguments), which must be what is recorded under this name, or is recorded."""
    made = np.asarray(function(*arguments))
    if record:
        held = dict(np.load(FILE)) if FILE.is_file() else {}
        np.savez_compressed(FILE, **held | {name: made})
    np.testing.assert_allclose(made, recorded(name), atol=1e-5, rtol=1e-4)
    return made
