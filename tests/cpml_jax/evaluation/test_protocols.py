import pytest

from cpml_jax.errors import UserError
from cpml_jax.evaluation import protocols
from cpml_jax.evaluation.protocols import Training

FOUR = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")
METHODS = {"a": FOUR, "b": FOUR, "celeb": ("Celeb-synthesis",)}

C23 = dict.fromkeys(("a", "b", "c", "celeb", "dfd"), "c23")  # what cross_dataset tests at


def tests(*names, training=None, **changes):
    arguments = dict(
        compressions=("raw", "c23", "c40"),
        cross_datasets=("b",),
        cross_compression=C23,
        methods=METHODS,
    )
    return protocols.make_tests(training or Training("a", ("raw", "c23"), FOUR), protocols=names, **arguments | changes)


tests.__test__ = False


def shape(made):
    return [(t.dataset, t.compression, t.methods) for t in made]


def test_in_dataset_pools_the_methods_and_takes_each_alone_at_the_training_compressions():
    expected = [("a", q, m) for q in ("raw", "c23") for m in (FOUR, *[(one,) for one in FOUR])]
    assert shape(tests("in_dataset")) == expected


def test_in_dataset_of_one_method_is_one_test_per_compression():
    assert shape(tests("in_dataset", training=Training("a", ("c23",), ("FaceSwap",)))) == [("a", "c23", ("FaceSwap",))]


def test_cross_compression_tests_every_compression():
    assert shape(tests("cross_compression")) == [("a", q, FOUR) for q in ("raw", "c23", "c40")]


def test_cross_manipulation_tests_what_training_left_out():
    training = Training("a", ("c23",), ("Deepfakes", "FaceSwap"))
    out = ("Face2Face", "NeuralTextures")
    expected = [("a", "c23", m) for m in (out, out[:1], out[1:])]
    assert shape(tests("cross_manipulation", training=training)) == expected
    with pytest.raises(UserError, match="left out"):
        tests("cross_manipulation")


def test_cross_dataset_takes_all_methods_of_the_other_set():
    assert shape(tests("cross_dataset", cross_datasets=("b", "celeb"))) == [
        ("b", "c23", FOUR),
        ("celeb", "c23", ("Celeb-synthesis",)),
    ]


@pytest.mark.parametrize(
    ("names", "changes", "said"),
    [
        (("cross_compresion",), {}, "did you mean 'cross_compression'"),
        (("xyz",), {}, "in_dataset, cross_compression"),
        (("cross_dataset",), {"cross_datasets": ("cleb",)}, "did you mean 'celeb'"),
        (("cross_dataset",), {"cross_datasets": ("a",)}, "is the training data set"),
        (("cross_dataset",), {"cross_datasets": ()}, "cross_datasets is empty"),
        (("cross_compression",), {"compressions": ()}, "eval.compressions is empty"),
        ((), {}, "eval.protocols is empty"),
    ],
)
def test_a_mistake_is_named(names, changes, said):
    with pytest.raises(UserError, match=said):
        tests(*names, **changes)


def test_no_test_twice_and_the_order_is_the_configurations():
    made = tests("cross_dataset", "in_dataset", "cross_dataset", cross_datasets=("b", "b"))
    assert len(made) == len(set(made)) == 11 and made[0].protocol == "cross_dataset"


def row(split, compression, method, identity="1", source=""):
    who = dict(identity=identity, source_identity=source)
    return dict(split=split, compression=compression, method=method, label=int(method != "real"), **who)


def test_reals_of_the_test_split_belong_to_every_test_of_the_compression():
    rows = [row(s, c, m) for s in ("train", "val", "test") for c in ("raw", "c23", "c40") for m in ("real", *FOUR)]
    for test in tests("in_dataset", "cross_compression"):
        chosen = protocols.select(rows, test)
        assert {r["split"] for r in chosen} == {"test"} and {r["compression"] for r in chosen} == {test.compression}
        assert {r["method"] for r in chosen} == {"real", *test.methods}
    chosen = protocols.validation_rows(rows, Training("a", ("raw", "c23"), FOUR[:1]))
    assert {(r["split"], r["compression"]) for r in chosen} == {("val", "raw"), ("val", "c23")}
    assert {r["method"] for r in chosen} == {"real", "Deepfakes"}
    assert protocols.tested_methods(rows) == FOUR


def test_an_identity_in_two_splits_is_refused_as_target_and_as_source():
    good = [row("train", "c23", "real", "1"), row("train", "c23", "Deepfakes", "1", "2")]
    good.append(row("test", "c23", "real", "3"))
    protocols.check_no_leak(good, "here")
    protocols.check_no_leak([row("train", "c23", "real", ""), row("test", "c23", "real", "")], "unknown identities")
    for leak in (row("val", "c23", "real", "1"), row("test", "c23", "Deepfakes", "3", "2")):
        with pytest.raises(UserError, match="here: identity '[12]' is in the splits"):
            protocols.check_no_leak([*good, leak], "here")
