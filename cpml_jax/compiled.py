"""Compiled programs, kept in the user's cache folder: a second `predict` need not compile what the first did."""

from __future__ import annotations

import os
from pathlib import Path

import jax

LARGEST = 1 << 29  # bytes of the folder; the programs that were not used for the longest time go first


def folder() -> Path:
    """$XDG_CACHE_HOME/cpml-jax/compiled, or under ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cpml-jax/compiled"


def keep() -> None:
    """Keep what this process compiles, and take what earlier ones kept, unless the user has set a cache.

    Only in a folder that is this user's alone: programs are machine code, and whoever may write there could have it
    run. Where there can be no such folder, each process compiles anew; nothing else differs.
    """
    # pyrefly: ignore[missing-attribute] - JAX adds the attributes of its options when it is imported.
    if jax.config.jax_compilation_cache_dir is not None:
        return
    try:
        path = folder()
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
    except (OSError, RuntimeError):  # RuntimeError: the user has no home
        return
    if status.st_uid != os.getuid() or status.st_mode & 0o022 or not os.access(path, os.W_OK):
        return
    jax.config.update("jax_compilation_cache_dir", str(path))
    jax.config.update("jax_compilation_cache_max_size", LARGEST)
    # Most of the programs are small, and there are some hundred of them.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
