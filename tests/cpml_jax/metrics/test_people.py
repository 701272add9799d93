import numpy as np

from cpml_jax.metrics import people


def test_clips_that_share_a_person_directly_or_through_others_are_one_group():
    shown = [("a",), ("b",), ("a", "b"), ("b", "a"), ("c",), ("d", "e"), ("f",), ("e", "f")]
    assert people.connected_groups(shown).tolist() == [0, 0, 0, 0, 1, 2, 2, 2]
    assert people.connected_groups(["x", 3, "x"]).tolist() == [0, 1, 0]  # anything else is one identity
    assert people.connected_groups([]).tolist() == []


def test_a_clip_shows_its_target_and_its_source_and_an_unknown_person_stands_for_the_video():
    row = {"identity": "000", "source_identity": "003", "video_key": "v"}
    assert people.people_of(row) == ("000", "003")
    assert people.people_of(row | {"source_identity": ""}) == ("000",)
    assert people.people_of({"identity": "", "video_key": "v"}) == ("v",)


def test_both_directions_of_a_pair_are_one_unit():
    """FaceForensics++: 000_003 and 003_000 were two units when clips were grouped by their target alone."""
    shown = [who for a, b in (("0", "3"), ("1", "2"), ("4", "5")) for who in ((a,), (b,), (a, b), (b, a))]
    units, reason = people.units_of(shown)
    assert reason is None and units.count == 3 and units.note is None
    np.testing.assert_array_equal(units.total(np.ones(12)), [4, 4, 4])


def test_where_everyone_is_connected_identities_are_left_out_and_the_note_says_so():
    ring = [(k,) for k in range(8)] + [(k, (k + 1) % 8) for k in range(8)]
    units, reason = people.units_of(ring)
    assert reason is None and units.count == 8 and "left out one by one" in units.note
    np.testing.assert_array_equal(units.total(np.ones(16)), np.full(8, 3))  # one real, once target, once source
    mostly = ring + [("x",), ("y",), ("z",)]  # a few people apart do not make independent groups of the rest
    assert people.units_of(mostly)[0].count == 11


def test_too_few_people_have_no_units():
    assert people.units_of(["a", "a"]) == (None, "no interval: 1 independent group of identities")
    assert people.units_of([("a",), ("a", "b"), ("c",), ("c", "d")])[1] == (
        "no interval: 2 independent groups of identities"
    )
    assert people.units_of([])[0] is None
