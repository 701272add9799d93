"""A small preparation page."""

import numpy as np
import tiny
from html_page import Parsed

from data_prep.page import document
from data_prep.records import work_file
from data_prep.video import jpeg


def clip(number: int, **changes) -> dict:
    rng = np.random.default_rng(number)
    made = tiny.record(rng, jpeg, "test", "real", "c23", number, number + 1)
    return work_file.complete(
        "faces", made | {"box": np.tile(np.float32([0, 0, 160, 160]), (tiny.NUM_FRAMES, 1))} | changes
    )


def summary(count: int) -> dict:
    return {
        "clips": {"test/real/c23": count, "total": count},
        "pulse_correlation": {"real/c23": [0.66, 0.09, count]},
        "parameters": {"kind": "folder"},
    }


def written(tmp_path, shown, excluded=(), name="faces", **changes) -> tuple[str, Parsed]:
    path = tmp_path / document.PAGE
    document.write(path, name, summary(len(shown)) | changes, list(excluded), iter(shown))
    assert [file.name for file in tmp_path.iterdir()] == [document.PAGE]
    source = path.read_text(encoding="utf-8")
    return source, Parsed(source)
