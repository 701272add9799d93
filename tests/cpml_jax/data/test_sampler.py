import numpy as np
import pytest

from cpml_jax.data.sampler import BalancedSampler, check_own_reals, clip_views, pair_numbers
from cpml_jax.errors import UserError

METHODS = ("Deepfakes", "FaceSwap")


def index(ids=6, compressions=("raw", "c23"), split="train"):
    rows = []
    for i in range(ids):
        partner = i + 1 if i % 2 == 0 else i - 1
        for method, video, label in [("real", f"{i:03d}", 0), *((m, f"{i:03d}_{partner:03d}", 1) for m in METHODS)]:
            for q in compressions:
                rows.append(
                    dict(
                        clip_id=f"s/{method}/{q}/{video}/0", clip_key=f"s/{method}/{video}/0", dataset="s",
                        method=method, compression=q, split=split, video=video, label=label, window=0,
                        target_video=f"{i:03d}" if label else "",
                    )
                )  # fmt: skip
    return rows


def test_views_are_joined_best_first_and_incomplete_clips_left_out():
    rows = [r for r in index() if r["clip_id"] != "s/real/c23/000/0"]
    clips = clip_views(rows, compressions=("raw", "c23"), methods=METHODS, split="train")
    assert all([v["compression"] for v in clip] == ["raw", "c23"] for clip in clips)
    assert len(clips) == 6 * 3 - 1 and not any(c[0]["clip_key"] == "s/real/000/0" for c in clips)
    assert not clip_views(rows, compressions=("raw", "c40"), methods=METHODS, split="train")


def test_methods_are_filtered_and_reals_stay():
    clips = clip_views(index(), compressions=("raw",), methods=("FaceSwap",), split="train")
    assert {c[0]["method"] for c in clips} == {"real", "FaceSwap"}


def test_batches_are_balanced_and_hold_each_fakes_own_target():
    clips = clip_views(index(), compressions=("raw", "c23"), methods=METHODS, split="train")
    sampler = BalancedSampler(clips, batch_size=4, seed=3)
    for step in range(20):
        batch = sampler.batch(step)
        assert [c[0]["label"] for c in batch] == [0, 1, 0, 1]
        for real, fake in zip(batch[::2], batch[1::2], strict=True):
            assert real[0]["video"] == fake[0]["target_video"]


def test_every_fake_is_drawn_once_an_epoch():
    sampler = BalancedSampler(
        clip_views(index(), compressions=("raw",), methods=METHODS, split="train"), batch_size=4, seed=0
    )
    drawn = [c[0]["clip_key"] for step in range(6) for c in sampler.batch(step) if c[0]["label"]]
    assert len(drawn) == len(set(drawn)) == 12


def test_a_batch_is_a_function_of_seed_and_step():
    clips = clip_views(index(), compressions=("raw",), methods=METHODS, split="train")
    keys = lambda seed, step: [c[0]["clip_key"] for c in BalancedSampler(clips, batch_size=4, seed=seed).batch(step)]  # noqa: E731
    assert keys(1, 5) == keys(1, 5)
    assert any(keys(1, s) != keys(2, s) for s in range(4))


def test_a_fake_without_its_target_gets_another_real():
    rows = [r for r in index() if not (r["method"] == "real" and r["video"] == "000")]
    sampler = BalancedSampler(
        clip_views(rows, compressions=("raw",), methods=METHODS, split="train"), batch_size=2, seed=0
    )
    assert all(sampler.batch(s)[0][0]["label"] == 0 for s in range(12))


def test_clips_of_one_class_are_refused():
    clips = clip_views(index(), compressions=("raw",), methods=METHODS, split="train")
    with pytest.raises(UserError, match="both classes"):
        BalancedSampler([c for c in clips if c[0]["label"]], batch_size=4, seed=0)
    assert np.unique([c[0]["label"] for c in clips]).size == 2


def targets_of(**changes):
    """The clips of three people, with other targets for some fakes' videos."""
    rows = [row | {"target_video": changes.get(row["method"], row["target_video"])} if row["label"] else row
            for row in index(ids=4)]  # fmt: skip
    return clip_views(rows, compressions=("raw",), methods=METHODS, split="train")


def test_a_real_clip_and_its_fakes_have_one_number_in_any_order():
    clips = targets_of()
    clips = [clips[i] for i in np.random.default_rng(0).permutation(len(clips))]
    numbers = pair_numbers(clips)
    for a, x in zip(clips, numbers, strict=True):
        for b, y in zip(clips, numbers, strict=True):
            of = [row["target_video"] or row["video"] for row in (a[0], b[0])]
            assert (x == y) == (of[0] == of[1])


def test_fakes_without_a_target_have_no_real_clips_number():
    clips = targets_of(FaceSwap="", Deepfakes="000")
    numbers = pair_numbers(clips)
    reals = {n for n, clip in zip(numbers, clips, strict=True) if not clip[0]["label"]}
    assert not any(n in reals for n, clip in zip(numbers, clips, strict=True) if clip[0]["method"] == "FaceSwap")
    assert all(n in reals for n, clip in zip(numbers, clips, strict=True) if clip[0]["method"] == "Deepfakes")


def test_windows_and_data_sets_are_apart():
    row = index(ids=2)[0]
    rows = [row, row | {"window": 1}, row | {"dataset": "t"}, row | {"compression": "c40"}]
    assert len(set(pair_numbers([(r,) for r in rows]))) == 4


def test_matched_pairs_need_fakes_with_their_own_real(capsys):
    check_own_reals(targets_of(), "records")
    assert capsys.readouterr().err == ""
    check_own_reals(targets_of(FaceSwap="999"), "records")
    assert "4 of 8 fakes have no real clip of their own in records" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"none of the 8 fakes in records .*loss.push_pairs='all'"):
        check_own_reals(targets_of(FaceSwap="999", Deepfakes=""), "records")
