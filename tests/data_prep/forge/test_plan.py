"""Who is forged from whom."""

import collections

import pytest

from cpml_jax.metrics.people import connected_groups
from data_prep.forge.listing import RealVideo
from data_prep.forge.plan import forgeries

KINDS = ("swap", "selfblend", "motion")


def videos(train=9, val=4, test=7, clips=1) -> list[RealVideo]:
    counts = dict(train=train, val=val, test=test)
    return [
        RealVideo(f"/{split}{n}_{clip}.mp4", f"{split}{n}_{clip}", f"{split}{n}", split)
        for split, count in counts.items()
        for n in range(count)
        for clip in range(clips)
    ]


@pytest.mark.parametrize("clips", [1, 3])
@pytest.mark.parametrize("copies", [1, 3])
def test_another_person_of_the_same_split_lends(clips, copies):
    real = videos(clips=clips)
    made = forgeries(real, KINDS, dict.fromkeys(("train", "val", "test"), copies), 5)
    assert made.keys() == {one.video for one in real}
    for forged in made.values():
        assert collections.Counter(f.kind for f in forged) == dict.fromkeys(KINDS, copies)
        assert all(f.source.identity != f.target.identity and f.source.split == f.target.split for f in forged)
        assert all(f.name.startswith(f"{f.target.video}_{f.source.video}") for f in forged)
    every = [f for forged in made.values() for f in forged]
    assert len({(f.kind, f.name) for f in every}) == len(every) == len({f.seed for f in every})
    lent = collections.Counter(f.source.identity for f in every)
    for split in ("train", "val"):
        counts = [count for identity, count in lent.items() if identity.startswith(split)]
        assert len(counts) == len({v.identity for v in real if v.split == split}) and max(counts) == min(counts)


def test_in_training_everybody_lends_to_many_and_in_a_test_pairs_stay_alone():
    made = forgeries(videos(), KINDS, dict(train=2, val=1, test=2), 5)
    every = [f for forged in made.values() for f in forged]
    train = {(f.target.identity, f.source.identity) for f in every if f.target.split == "train"}
    assert len(train) == 9 * len(KINDS) * 2
    people = [(f.target.identity, f.source.identity) for f in every if f.target.split == "test"]
    sizes = collections.Counter(dict(zip((t for t, _ in people), connected_groups(people), strict=True)).values())
    assert sorted(sizes.values()) == [2, 2, 3]


def test_the_same_seed_gives_the_same_whatever_the_order():
    real, copies = videos(), dict(train=1, val=1, test=1)
    assert forgeries(real, KINDS, copies, 1) == forgeries(real[::-1], KINDS, copies, 1)
    assert forgeries(real, KINDS, copies, 1) != forgeries(real, KINDS, copies, 2)


def test_names_that_would_be_one_are_told_apart():
    names = ["a", "b_c", "a_b", "c"]
    real = [RealVideo(f"/{name}.mp4", name, name, "train") for name in names]
    made = forgeries(real, ("swap",), dict(train=5), 0)
    every = [f.name for forged in made.values() for f in forged]
    assert len(set(every)) == len(every) == 20
