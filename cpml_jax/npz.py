"""NumPy's npz files of runs, which may be strangers': no pickles, and no more memory than such a file can need."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

# Bytes that the arrays of a file may take: some hundred times the file, which zeros alone compress to. A small file may
# take more, since a thousand times is nothing there.
RATIO, SMALL = 100, 1 << 26


def read(path: str | Path) -> dict[str, np.ndarray]:
    """All arrays of a file by name.

    Raises:
      ValueError: its arrays would take far more than the file does. OSError, and many kinds of exceptions of
        NumPy's and zipfile's: there is none, or it is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        claimed = sum(info.file_size for info in archive.infolist())
    size = Path(path).stat().st_size
    if claimed > SMALL + RATIO * size:
        raise ValueError(f"{claimed} bytes in a file of {size}")
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
