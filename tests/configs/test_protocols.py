"""The configurations of protocols."""

import pytest

from cpml_jax.configs import protocols


@pytest.mark.parametrize("argument", ["synthetic", "synthetic:full", "ffpp", "ffpp:c23"])
def test_protocol_configurations_differ_in_their_tests_alone(argument):
    names = ("ablation", "cross_compression", "cross_manipulation", "in_dataset")
    made = [protocols.get_config(f"{name}:{argument}") for name in names]
    tests = [config.eval.protocols for config in made]
    for config in made:
        config.eval.protocols = ()
    assert len(set(tests)) == 4 and all(config == made[0] for config in made)
    source = made[0].data.sources[made[0].train.dataset]
    compressions = set(made[0].eval.compressions)
    assert compressions == set(source.compressions)
    assert all(
        compressions == set(q) for q in (source.draw.compressions.to_dict().values() if "draw" in source else ())
    )
