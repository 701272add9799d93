"""Each loss against a loop written from docs/method.md's sums."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cpml_jax import signal
from cpml_jax.losses import cpml

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


def test_cross_entropy_is_the_mean_of_minus_log_softmax():
    logits, label = RNG.normal(size=(6, 2)).astype(np.float32), np.array([0, 1, 1, 0, 1, 0])
    expected = -np.log(np.exp(logits)[np.arange(6), label] / np.exp(logits).sum(1)).mean()
    np.testing.assert_allclose(cpml.cross_entropy(logits, label, np.ones(6)), expected, rtol=1e-5)


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
