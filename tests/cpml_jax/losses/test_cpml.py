"""Each loss against a loop written from docs/method.md's sums."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cpml_jax import signal
from cpml_jax.losses import cpml, push_pairs

RNG = np.random.default_rng(0)


def rho(x, y):
    return np.corrcoef(x, y)[0, 1]


def cosine(x, y):
    return x @ y / np.linalg.norm(x) / np.linalg.norm(y)


def waves(clips, views=2, length=96):
    return RNG.normal(size=(clips, views, length)).astype(np.float32)


def test_cqsl_at_the_papers_batch_is_the_papers_sum():
    s, label = waves(2), np.array([0, 1])
    rates = np.asarray(signal.soft_heart_rate(s))
    expected = {
        "pull": sum(1 - rho(s[i, 0], s[i, 1]) for i in range(2)),
        "push": sum(abs(rho(s[0, q], s[1, p])) for q in range(2) for p in range(2)),
        "rate": sum(abs(rates[i, 0] - rates[i, 1]) / 60 for i in range(2)),
    }
    actual = jax.jit(cpml.cqsl)(s, label, np.ones(2, np.float32))
    for name, value in expected.items():
        np.testing.assert_allclose(actual[name], value, rtol=1e-4, err_msg=name)


def test_cqsl_of_a_batch_is_the_mean_over_pairs_times_the_papers_count():
    s, label = waves(5), np.array([0, 1, 1, 0, 1])
    real, fake = [0, 3], [1, 2, 4]
    push = np.mean([abs(rho(s[i, q], s[j, p])) for i in real for j in fake for q in range(2) for p in range(2)])
    actual = cpml.cqsl(s, label, np.ones(5, np.float32))
    np.testing.assert_allclose(actual["push"], 4 * push, rtol=1e-4)
    np.testing.assert_allclose(actual["pull"], 2 * np.mean([1 - rho(*w) for w in s]), rtol=1e-4)


def test_cmcl_at_the_papers_batch_is_the_papers_sum():
    u, label = RNG.normal(size=(2, 2, 16)).astype(np.float32), np.array([0, 1])
    t = RNG.normal(size=(2, 16)).astype(np.float32)
    t /= np.linalg.norm(t, axis=1, keepdims=True)
    of_class = np.array([[cosine(u[i, q], t[label[i]]) for q in range(2)] for i in range(2)])
    other = np.array([[cosine(u[i, q], t[1 - label[i]]) for q in range(2)] for i in range(2)])
    actual = jax.jit(cpml.cmcl)(u, t, label, np.ones(2, np.float32))
    np.testing.assert_allclose(actual["align"], (1 - of_class).sum(), rtol=1e-4)
    np.testing.assert_allclose(actual["repel"], other.sum(), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(actual["steady"], ((of_class[:, 0] - of_class[:, 1]) ** 2).sum(), rtol=1e-4)


def test_two_classes_are_the_papers_sum_to_the_bit():
    u, label = RNG.normal(size=(5, 2, 16)).astype(np.float32), np.array([0, 1, 1, 0, 1])
    t = RNG.normal(size=(2, 16)).astype(np.float32)
    norm = jax.lax.rsqrt((jnp.asarray(u) ** 2).sum(-1, keepdims=True) + 1e-12)
    cosines = (jnp.asarray(u) * norm) @ t.T
    other = jnp.take_along_axis(cosines, 1 - label[:, None, None], axis=-1)[..., 0]  # t_{1-y}
    repel = cpml.cmcl(u, t, label, np.ones(5, np.float32))["repel"]
    assert float(repel) == float(4 * other.sum() / jnp.float32(10))


def test_several_classes_repel_by_the_mean_over_the_others():
    u, of_class = RNG.normal(size=(4, 2, 16)).astype(np.float32), np.array([0, 3, 1, 2])
    t = RNG.normal(size=(4, 16)).astype(np.float32)
    t /= np.linalg.norm(t, axis=1, keepdims=True)
    cosines = np.array([[[cosine(u[i, q], t[c]) for c in range(4)] for q in range(2)] for i in range(4)])
    others = [np.mean([cosines[i, q, c] for c in range(4) if c != of_class[i]]) for i in range(4) for q in range(2)]
    actual = cpml.cmcl(u, t, of_class, np.ones(4, np.float32))
    np.testing.assert_allclose(actual["repel"], 4 * np.mean(others), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(
        actual["align"], 4 * np.mean([1 - cosines[i, :, of_class[i]] for i in range(4)]), rtol=1e-4
    )


def minus_log_softmax(logits, label):
    return -np.log(np.exp(logits)[np.arange(len(label)), label] / np.exp(logits).sum(1))


def test_cross_entropy_at_the_papers_batch_is_the_sum_over_the_real_and_the_fake():
    """As every other term there, so that 1, 0.2 and 0.25 weigh what they weigh in the authors' code."""
    logits, label = RNG.normal(size=(2, 2)).astype(np.float32), np.array([0, 1])
    expected = minus_log_softmax(logits, label).sum()
    np.testing.assert_allclose(cpml.cross_entropy(logits, label, np.ones(2)), expected, rtol=1e-5)


def test_cross_entropy_of_a_batch_is_the_mean_times_the_papers_count():
    logits, label = RNG.normal(size=(6, 2)).astype(np.float32), np.array([0, 1, 1, 0, 1, 0])
    expected = 2 * minus_log_softmax(logits, label).mean()
    np.testing.assert_allclose(cpml.cross_entropy(logits, label, np.ones(6)), expected, rtol=1e-5)
    weight = np.array([1, 1, 0, 1, 0, 0.0])
    expected = 2 * minus_log_softmax(logits, label)[weight > 0].mean()
    np.testing.assert_allclose(cpml.cross_entropy(logits, label, weight), expected, rtol=1e-5)


@pytest.mark.parametrize("views", [1, 2, 3])
def test_repeating_the_batch_changes_nothing(views):
    """A weight keeps its meaning at any batch size."""
    s, u = waves(4, views), RNG.normal(size=(4, views, 8)).astype(np.float32)
    label, t = np.array([0, 1, 1, 0]), np.eye(2, 8, dtype=np.float32)
    twice = lambda x: np.concatenate([x, x])  # noqa: E731
    for loss in (
        lambda s, u, y: cpml.cqsl(s, y, jnp.ones(len(y))),
        lambda s, u, y: cpml.cmcl(u, t, y, jnp.ones(len(y))),
    ):
        once, doubled = loss(s, u, label), loss(twice(s), twice(u), twice(label))
        for name in once:
            np.testing.assert_allclose(once[name], doubled[name], rtol=1e-4, atol=1e-6, err_msg=name)


def test_padding_rows_do_not_count():
    s, label, weight = waves(4), np.array([0, 1, 0, 1]), np.array([1, 1, 0, 0], np.float32)
    changed = s.copy()
    changed[2:] = 7 * RNG.normal(size=changed[2:].shape)
    a, b = cpml.cqsl(s, label, weight), cpml.cqsl(changed, label, weight)
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=1e-5)


def test_teacher_looks_at_real_clips_only():
    wave, trace = waves(3, 1)[:, 0], waves(3, 1)[:, 0]
    actual = cpml.pulse_teacher(wave, trace, np.array([0, 1, 0]), np.ones(3, np.float32))
    np.testing.assert_allclose(actual, np.mean([1 - rho(wave[i], trace[i]) for i in (0, 2)]), rtol=1e-4)
    assert cpml.pulse_teacher(wave, trace, np.ones(3, int), np.ones(3, np.float32)) == 0
    silent = trace * np.array([1.0, 1.0, 0.0], np.float32)[:, None]
    alone = cpml.pulse_teacher(wave[:1], trace[:1], np.array([0]), np.ones(1, np.float32))
    np.testing.assert_allclose(cpml.pulse_teacher(wave, silent, np.array([0, 1, 0]), np.ones(3, np.float32)), alone)


def test_equal_views_have_no_pull_rate_or_steadiness_to_pay():
    s = np.repeat(waves(3, 1), 2, axis=1)
    actual = cpml.cqsl(s, np.array([0, 1, 0]), np.ones(3, np.float32))
    np.testing.assert_allclose([actual["pull"], actual["rate"]], 0, atol=1e-5)


def test_gradients_are_finite_where_waves_are_flat():
    gradient = jax.grad(lambda s: sum(cpml.cqsl(s, jnp.array([0, 1]), jnp.ones(2)).values()))(jnp.zeros((2, 2, 64)))
    assert np.isfinite(gradient).all()


def test_a_batch_of_one_class_has_no_push():
    assert cpml.cqsl(waves(3), np.zeros(3, int), np.ones(3, np.float32))["push"] == 0


def test_invalid_frames_count_in_no_pulse_loss():
    s, label, ones = waves(3), np.array([0, 1, 0]), np.ones(3, np.float32)
    valid = RNG.random(s.shape) < 0.8
    spoilt = np.where(valid, s, 50 * RNG.normal(size=s.shape)).astype(np.float32)
    clean, broken = cpml.cqsl(s, label, ones, valid), cpml.cqsl(spoilt, label, ones, valid)
    for name in ("pull", "push"):
        np.testing.assert_allclose(clean[name], broken[name], rtol=1e-4, err_msg=name)
    both = valid[0, 0] & valid[1, 1]
    assert np.corrcoef(s[0, 0][both], s[1, 1][both])[0, 1] == pytest.approx(
        float(signal.pearson(spoilt[0, 0], spoilt[1, 1], both.astype(np.float32))), abs=1e-5
    )
    teacher = [cpml.pulse_teacher(w[:, 0], s[:, 1], label, ones, valid[:, 0]) for w in (s, spoilt)]
    np.testing.assert_allclose(*teacher, rtol=1e-4)


def test_valid_everywhere_is_no_validity_at_all():
    s, label, ones = waves(4), np.array([0, 1, 0, 1]), np.ones(4, np.float32)
    given, none = cpml.cqsl(s, label, ones, np.ones(s.shape, bool)), cpml.cqsl(s, label, ones)
    for name in none:
        np.testing.assert_allclose(given[name], none[name], rtol=1e-6, err_msg=name)


def test_the_push_takes_only_the_given_pairs():
    s, label, chosen = waves(4, 3), np.array([0, 1, 0, 1]), [(0, 1), (2, 1)]
    pairs = np.zeros((4, 4), np.float32)
    pairs[tuple(zip(*chosen, strict=True))] = 1
    push = np.mean([abs(rho(s[i, q], s[j, p])) for i, j in chosen for q in range(3) for p in range(3)])
    actual = jax.jit(cpml.cqsl)(s, label, np.ones(4, np.float32), pairs=pairs)
    np.testing.assert_allclose(actual["push"], 4 * push, rtol=1e-4)


@pytest.mark.parametrize("views", [1, 2, 3])
def test_the_hinge_counts_what_is_above_the_margin_over_all_pairs(views):
    s, label = waves(4, views), np.array([0, 1, 0, 1])
    s[1, 0] = s[0, 0]  # |rho| = 1; the others are noise, below the margin
    every = [abs(rho(s[i, q], s[j, p])) for i in (0, 2) for j in (1, 3) for q in range(views) for p in range(views)]
    expected = min(views, 2) ** 2 * np.mean([max(x - 0.4, 0) for x in every])
    actual = cpml.cqsl(s, label, np.ones(4, np.float32), push_margin=0.4)["push"]
    np.testing.assert_allclose(actual, expected, rtol=1e-4)
    assert 0 < actual < cpml.cqsl(s, label, np.ones(4, np.float32))["push"]


def test_waves_within_the_margin_are_not_pushed():
    s, label = waves(4), np.array([0, 1, 0, 1])
    push = lambda s, margin: cpml.cqsl(s, label, jnp.ones(4), push_margin=margin)["push"]  # noqa: E731
    gradient = jax.grad(push)(s, 0.9)
    assert push(s, 0.9) == 0 and not np.any(gradient) and np.any(jax.grad(push)(s, 0.0))


@pytest.mark.parametrize("views", [2, 3])
@pytest.mark.parametrize("stop", [False, True])
def test_a_stopped_pull_moves_the_lower_views_alone(views, stop):
    s, label = waves(3, views), np.array([0, 1, 0])
    term = lambda s, stop: cpml.cqsl(s, label, jnp.ones(3), stop_better=stop)  # noqa: E731
    assert term(s, stop)["pull"] == term(s, False)["pull"]
    gradient = jax.grad(lambda s: term(s, stop)["pull"])(s)
    assert np.any(gradient[:, 0]) != stop
    np.testing.assert_array_equal(gradient[:, 1:], jax.grad(lambda s: term(s, False)["pull"])(s)[:, 1:])
    others = lambda s, stop: term(s, stop)["push"] + term(s, stop)["rate"]  # noqa: E731
    np.testing.assert_array_equal(jax.grad(others)(s, stop), jax.grad(others)(s, False))


@pytest.mark.parametrize("stop", [False, True])
def test_a_stopped_steady_moves_the_lower_views_alone(stop):
    u, label, t = RNG.normal(size=(3, 3, 8)).astype(np.float32), np.array([0, 1, 0]), jnp.eye(2, 8)
    term = lambda u, t, stop: cpml.cmcl(u, t, label, jnp.ones(3), stop_better=stop)  # noqa: E731
    assert term(u, t, stop)["steady"] == term(u, t, False)["steady"]
    of_u, of_t = jax.grad(lambda u, t: term(u, t, stop)["steady"], argnums=(0, 1))(u, t)
    assert np.any(of_u[:, 0]) != stop and np.any(of_u[:, 1:]) and np.any(of_t)
    for name in ("align", "repel"):
        assert np.any(jax.grad(lambda u, n=name: term(u, t, stop)[n])(u)[:, 0])


@pytest.mark.parametrize("views", [1, 2, 3])
def test_the_order_of_a_batch_changes_nothing(views):
    s, u = waves(6, views), RNG.normal(size=(6, views, 8)).astype(np.float32)
    label, weight, pair = np.array([0, 1] * 3), np.array([1, 1, 1, 1, 0, 1.0]), np.array([0, 0, 1, 1, 2, 2])
    valid = RNG.random(s.shape) < 0.8
    pairs = push_pairs.real_fake_pairs(label, weight) * push_pairs.same_pair(pair)
    order = RNG.permutation(6)
    turned = [x[order] for x in (s, label, weight, valid)]
    once = cpml.cqsl(s, label, weight, valid, pairs=pairs)
    again = cpml.cqsl(*turned, pairs=pairs[order][:, order])
    once |= cpml.cmcl(u, jnp.eye(2, 8), label, weight)
    again |= cpml.cmcl(u[order], jnp.eye(2, 8), label[order], weight[order])
    for name in once:
        np.testing.assert_allclose(once[name], again[name], rtol=1e-4, atol=1e-6, err_msg=name)
