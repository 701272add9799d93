import pytest

from cpml_jax import conditions
from cpml_jax.errors import UserError


def test_every_default_name_is_read_as_it_is_written():
    for protocol, defaults in conditions.DEFAULTS.items():
        assert [conditions.named(name).name for name in defaults] == list(dict.fromkeys(defaults))
        assert {conditions.protocol_of(name) for name in defaults} == {protocol}
    assert [len(defaults) for defaults in conditions.DEFAULTS.values()] == [16, 40]
    assert conditions.parse("vp9-crf63") == conditions.Codec("vp9", 63)
    assert conditions.parse("blur-3") == conditions.Corruption("blur", 3)
    assert conditions.parse("raw") is None and conditions.protocol_of("c23") is None


WRONG = ("h264-crf52", "h264-crf07", "h264", "h266-crf23", "h264-crf23 ", "h264-crf-1", "blur-0", "blur-6", "blur", "")


@pytest.mark.parametrize("name", WRONG)
def test_other_names_are_refused(name):
    with pytest.raises(UserError, match="no condition"):
        conditions.named(name)
