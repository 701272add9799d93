"""Which packages of preparation are installed, asked without importing them."""

from __future__ import annotations

import importlib.metadata
import importlib.util

from cpml_jax.errors import missing_package

PURPOSE = "preparing videos"


def release(package: str) -> str:
    """Major and minor version of an installed package with trained weights, "2.6".

    A patch release mends code and leaves the weights, so records stay; where it does not, its changelog is the place
    to learn it. Versions of packages that only compute or decode (onnxruntime, dlib, OpenCV, PyAV) are no part of what
    records are: they move last bits, not the choice of a face or of its points.

    Raises:
      UserError: it is not installed.
    """
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        raise missing_package(PURPOSE, package) from None
    return ".".join(version.split(".")[:2])


def require(*modules: str) -> None:
    """Raise UserError unless these can be imported, so that it is known before the first video."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise missing_package(PURPOSE, module)
