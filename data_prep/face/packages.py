"""Which release of a package with trained weights is installed."""

from __future__ import annotations

import importlib.metadata

from cpml_jax.errors import UserError


def release(package: str) -> str:
    """Major and minor version of an installed package, "2.6".

    A patch release mends code and leaves the weights, so records stay; where it does not, its changelog is the place
    to learn it. Versions of packages that only compute or decode (torch, dlib, OpenCV, PyAV) are no part of what
    records are: they move last bits, not the choice of a face or of its points.

    Raises:
      UserError: it is not installed.
    """
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        raise UserError(
            f"preparing videos needs the package {package!r}: install the group `prepare` (uv sync --group prepare)"
        ) from None
    return ".".join(version.split(".")[:2])
