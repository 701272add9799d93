"""The formats of a comparison."""

from cpml_jax.compare import formats


def test_minus_zero_is_no_sign():
    cell = dict.fromkeys(("difference_std", "p", "p_holm", "p_delong"))
    cell |= {"difference": -1e-17, "difference_ci95": [-0.001, 0.001]}
    assert formats.difference(cell) == "+0.000 [+0.00, +0.00]"
