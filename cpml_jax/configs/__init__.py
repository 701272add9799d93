"""The configurations that come with the package.

In a checkout they lie in configs/ at the top of the repository, where people edit them; in a wheel beside this file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

_BUNDLED = Path(__file__).resolve().parent
_CHECKOUT = _BUNDLED.parents[1] / "configs"
FOLDER = _BUNDLED if (_BUNDLED / "base.py").is_file() else _CHECKOUT
__path__ = [str(FOLDER)]

if TYPE_CHECKING:
    from configs import (
        _bases,
        _random_start,
        ablation,
        base,
        celebdf,
        crop_tree,
        dfd,
        dfdc,
        ffpp,
        flip,
        folder,
        forged,
        lrnet,
        protocols,
        reference,
        synthetic,
    )

    __all__ = [
        "_bases", "_random_start", "ablation", "base", "celebdf", "crop_tree", "dfd", "dfdc", "ffpp", "flip", "folder",
        "forged", "lrnet", "protocols", "reference", "synthetic",
    ]  # fmt: skip
