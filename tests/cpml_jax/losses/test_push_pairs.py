"""Which pairs the push takes apart, against loops over pairs."""

import jax
import numpy as np
import pytest
import tiny

from cpml_jax.losses.push_pairs import push_pairs, still_matching

RNG = np.random.default_rng(0)


def batch(label, pair, weight=None, frames=64):
    rows = len(label)
    return {
        "label": np.array(label), "pair": np.array(pair, np.int32),
        "weight": np.ones(rows, np.float32) if weight is None else np.array(weight, np.float32),
        "pulse": RNG.normal(size=(rows, frames)).astype(np.float32), "valid": np.ones((rows, 2, frames), bool),
    }  # fmt: skip


def chosen(*arguments):
    pairs = np.asarray(jax.jit(push_pairs, static_argnums=(1, 2))(*arguments))
    assert set(np.unique(pairs)) <= {0.0, 1.0}
    return set(zip(*np.nonzero(pairs), strict=True))


def test_matched_is_a_fake_with_its_own_real_wherever_they_stand():
    made = batch([1, 0, 0, 1, 1, 0], [7, 3, 7, 3, 7, 9])  # two fakes of clip 2, one of clip 1, none of clip 5
    assert chosen(made, "matched") == {(2, 0), (1, 3), (2, 4)}
    assert chosen(made, "all") == {(i, j) for i in (1, 2, 5) for j in (0, 3, 4)}


def test_padding_has_no_pairs():
    made = batch([0, 1, 0, 1], [0, 0, 0, 0], weight=[1, 1, 0, 0])
    assert chosen(made, "matched") == chosen(made, "all") == {(0, 1)}


@pytest.mark.parametrize("which", ["matched", "all"])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_fake_that_kept_its_targets_pulse_is_left_out(which, sign):
    made = batch([0, 1, 0, 1], [0, 0, 1, 1])
    made["pulse"][1] = sign * made["pulse"][0] + 0.3 * RNG.normal(size=64)
    kept = {pair for pair in chosen(made, which) if pair[1] != 1}
    assert kept and chosen(made, which, 0.7) == kept
    assert chosen(made, which, 1.0) == chosen(made, which)
    # Another clip's pulse is none of a fake's business.
    made["pair"] = np.array([0, 1, 2, 2], np.int32)
    assert chosen(made, which, 0.7) == chosen(made, which)


def test_equal_traces_are_not_above_one():
    made = batch([0, 1], [0, 0])
    made["pulse"][1] = made["pulse"][0]
    assert chosen(made, "matched", 1.0) == {(0, 1)} and not chosen(made, "matched", 0.999)


def test_frames_that_could_not_be_measured_do_not_match():
    made = batch([0, 1], [0, 0])
    made["pulse"][:, 32:] = 20 * RNG.normal(size=32)  # alike there alone
    assert not chosen(made, "matched", 0.7)
    made["valid"][0, 0, 32:] = False
    assert chosen(made, "matched", 0.7) == {(0, 1)}


def test_still_matching_is_the_correlation_of_the_own_pair():
    made = batch([0, 1] * 8, np.repeat(np.arange(8), 2), frames=12)
    valid = RNG.random((16, 12)) < 0.8
    own = np.asarray(push_pairs(made, "matched"))
    actual = still_matching(made["pulse"], valid, own, 0.3)
    for real, fake in zip(range(0, 16, 2), range(1, 16, 2), strict=True):
        both = valid[real] & valid[fake]
        rho = np.corrcoef(made["pulse"][real][both], made["pulse"][fake][both])[0, 1]
        assert bool(actual[fake]) == (abs(rho) > 0.3) and not actual[real]
    assert actual.any() and not actual[1::2].all()


def test_a_batch_of_the_tests_has_pairs():
    assert len(chosen(tiny.random_batch(8), "matched")) == 4 and len(chosen(tiny.random_batch(8), "all")) == 16
