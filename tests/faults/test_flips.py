"""One bit of a file flipped at rest: the command that reads it names the file, or its result is the same to the bit."""

from __future__ import annotations

import collections
import random
import shutil
from pathlib import Path

import pytest

from faults.world import QUICK, World

pytestmark = pytest.mark.faults

# kind: (files of a finished run, the stage that reads them, how many of them are tried)
KINDS = {
    "forged clips": ("videos/forged/*/raw/*.mp4", "prepare", 3),
    "masks": ("videos/forged/masks/*/*.mp4", "prepare", 1),
    "squares": ("videos/forged/squares/*.npz", "prepare", 1),
    "drawn numbers of a forgery": ("videos/forged/parameters/*/*.json", "prepare", 1),
    "list of forged clips": ("videos/forged/videos.csv", "prepare", 2),
    "claim of forging": ("videos/forged/forge.json", "prepare", 1),
    "checksums of videos": ("videos/forged/videos.sha256", "prepare", 1),
    "records, training": ("records/forged/clips/*/*train*array_record*", "train", 3),
    "records, test": ("records/forged/clips/*/*test*array_record*", "evaluate", 2),
    "index of records": ("records/forged/clips.jsonl", "train", 2),
    "summary of records": ("records/forged/prepare.json", "train", 2),
    "TFDS's description": ("records/forged/clips/*/*.json", "train", 2),
    "checksums of records": ("records/forged/records.sha256", "train", 1),
    "decoded clips": ("decoded/*/*", "train", 3),
    "checkpoint": ("checkpoints/4/**/*", "evaluate", 5),
    "checksums of a checkpoint": ("checkpoints/4.sha256", "evaluate", 1),
    "configuration of a run": ("checkpoints/config.json", "evaluate", 1),
    "whom a run was trained on": ("checkpoints/training_data.json", "evaluate", 1),
    "prompts of a run": ("checkpoints/prompts.json", "evaluate", 1),
    "network of a run": ("checkpoints/network.json", "evaluate", 1),
    "scores": ("scores.jsonl", "report", 2),
    "evaluation": ("evaluation.json", "predict", 2),
    "features": ("features.npz", "report", 2),
    "doubt": ("doubt.npz", "predict", 2),
    "evaluation of a sweep's run": ("sweep/train_raw/evaluation.json", "sweep", 1),
    "tables of a sweep": ("sweep.json", "sweep", 1),
}  # fmt: skip


def flip(path: Path, rng: random.Random) -> tuple[int, int]:
    """Flip a bit. Returns its byte and place in that."""
    data = bytearray(path.read_bytes())
    place, bit = rng.randrange(len(data)), rng.randrange(8)
    data[place] ^= 1 << bit
    path.write_bytes(data)
    return place, bit


def read_after(world: World, stage: str, pattern: str) -> None:
    """The work folder before a stage, with the files that it finds there only when it is done again."""
    if stage == "sweep":
        world.back_to("end")
        return
    world.back_to(stage)
    if pattern.startswith("decoded"):
        shutil.copytree(world.root / "before/evaluate/decoded", world.run / "decoded")


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_is_named_or_changes_nothing(world, kind):
    pattern, stage, count = KINDS[kind]
    rng, found = random.Random(kind), collections.Counter()
    for _ in range(1 if QUICK else count):
        read_after(world, stage, pattern)
        files = sorted(path for path in world.run.glob(pattern) if path.is_file() and path.stat().st_size)
        file = rng.choice(files)
        where = flip(file, rng)
        done = world.go(stage)
        said = f"{file.relative_to(world.run)} at {where}: status {done.status}, {done.stderr[-1500:]}"
        assert "Traceback" not in done.stderr, said
        if done.status == 2:
            assert len(done.errors) == 1, said
            clip = "records" in kind and "forged/" in done.errors[0]  # of a shard, its clip is named
            assert file.name in done.errors[0] or clip or file.parent.name in done.errors[0], said
            found["refused, named"] += 1
            continue
        assert done.status == 0, said
        other = [n for n in world.differing(stage, done) if n != str(file.relative_to(world.run))]
        if other and any(word in done.stderr for word in (file.name, "unreadable record")):
            found["went on, named"] += 1  # a test clip is left out, or an evaluation made again
        elif "unreadable record" in (world.run / "evaluation.json").read_text() if other else False:
            found["left out, in evaluation.json"] += 1
        else:
            assert not other, f"silently other {other}; {said}"
            found["harmless"] += 1
    print(f"{kind}: {dict(found)}")
