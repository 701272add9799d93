"""Lines to the user, beside the progress bars."""

from __future__ import annotations

import sys

from tqdm import tqdm


def inform(text: str) -> None:
    """Print one line on stderr; on the first process only."""
    import jax  # only what runs on several hosts gets here, and it has JAX already

    if jax.process_index() == 0:
        tqdm.write(text, file=sys.stderr)
