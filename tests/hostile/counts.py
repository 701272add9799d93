"""The counts of the bench: printed, and written to HOSTILE_COUNTS (a file) where that is set."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

from hostile.bench import Outcome

HEADER = ("part", "cases", "answers", "refused", "crashed", "hung", "most MB", "most s", "s together")


def of(part: str, outcomes: Sequence[Outcome]) -> dict:
    """A row of the table."""
    kinds = [one.kind for one in outcomes]
    return dict(
        zip(
            HEADER,
            (
                part, len(outcomes), kinds.count("answer"), kinds.count("refused"), kinds.count("crashed"),
                kinds.count("hung"), max((one.megabytes for one in outcomes), default=0),
                round(max((one.seconds for one in outcomes), default=0.0), 1),
                round(sum(one.seconds for one in outcomes)),
            ),
            strict=True,
        )
    )  # fmt: skip


def say(row: dict) -> None:
    """Print a row, and add it to the file."""
    print("\n" + ", ".join(f"{key} {value}" for key, value in row.items()))
    if path := os.environ.get("HOSTILE_COUNTS"):
        with open(path, "a") as file:
            file.write(json.dumps(row) + "\n")
