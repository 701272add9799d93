"""The files beside checkpoints decide who may use them."""

import json

import pytest

from cpml_jax.configuration import flattened
from cpml_jax.errors import UserError
from cpml_jax.training import run_files


def test_another_configuration_is_refused_with_both_values(tmp_path):
    config = {
        "model": {"dim": 96},
        "optim": {"learning_rate": 1.0},
        "train": {"log_every": 5},
        "data": {"num_frames": 160},
    }
    run_files.write_config(tmp_path, config)
    run_files.check_config(tmp_path, config, resume=True)
    other = {**config, "optim": {"learning_rate": 2.0}, "train": {"log_every": 9}}
    run_files.check_config(tmp_path, other, resume=False)  # another rate does not change what the arrays mean
    with pytest.raises(UserError, match="optim.learning_rate was 1.0, is 2.0"):
        run_files.check_config(tmp_path, other, resume=True)
    with pytest.raises(UserError, match="model.dim was 96, is 32"):
        run_files.check_config(tmp_path, {**config, "model": {"dim": 32}}, resume=False)


def test_a_configuration_of_an_earlier_version_is_read_under_todays_keys(tmp_path):
    old = {
        "model": {"physformer": {"dim": 96}, "clip_text": {"width": 64}, "unified_dim": 8},
        "train": {"qualities": ["raw", "c23"], "steps": 5},
        "eval": {"variants": []},
    }
    run_files.write_config(tmp_path, old)
    new = {
        "model": {"rppg": {"dim": 96}, "text_encoder": {"width": 64}, "unified_dim": 8},
        "train": {"compressions": ("raw", "c23"), "steps": 5},
        "eval": {"conditions": ("blur-3",)},
    }
    for resume in (True, False):
        run_files.check_config(tmp_path, new, resume=resume)
    with pytest.raises(UserError, match="train.compressions was .'raw', 'c23'., is .'raw'."):
        run_files.check_config(tmp_path, {**new, "train": {"compressions": ("raw",), "steps": 5}}, resume=True)
    with pytest.raises(UserError, match="model.rppg.dim was 96, is 32"):
        run_files.check_config(tmp_path, {**new, "model": {"rppg": {"dim": 32}}}, resume=False)


@pytest.mark.parametrize(
    ("modalities", "size", "told"),
    [(["visual"], 16, True), (["rppg", "visual"], 64, True), (["visual"], 128, False), (["rppg"], 16, False)],
)
def test_a_visual_stream_that_saw_smaller_frames_is_not_scored(tmp_path, modalities, size, told):
    def config(visual):
        return {"model": {"modalities": modalities, "rppg": {"frame_size": size}, "visual": {"frames": 4} | visual}}

    stills = {"contrast": 0, "encoder": "clip"}
    run_files.write_config(tmp_path / "before", config({}))
    if told:
        with pytest.raises(UserError, match=f"visual stream was trained on frames of {size} pixels") as error:
            run_files.check_config(tmp_path / "before", config(stills), resume=False)
        assert "\n" not in str(error.value)
    else:
        run_files.check_config(tmp_path / "before", config(stills), resume=False)
    run_files.write_config(tmp_path / "today", config(stills))
    run_files.check_config(tmp_path / "today", config(stills), resume=False)


@pytest.mark.parametrize(("before", "today"), [(True, "clip"), (False, "none")])
def test_an_encoder_that_was_true_or_false_is_read_as_todays_word(tmp_path, before, today):
    def config(encoder, **more):
        return {"model": {"modalities": ["visual"], "visual": {"contrast": 8, "encoder": encoder, **more}}}

    run_files.write_config(tmp_path, config(before))
    run_files.check_config(tmp_path, config(today, trained="all", projection=0), resume=False)
    run_files.check_config(tmp_path, config(today), resume=True)
    with pytest.raises(UserError, match=f"model.visual.encoder was '{today}', is 'efficientnet_lite0'"):
        run_files.check_config(tmp_path, config("efficientnet_lite0", trained="all"), resume=False)


@pytest.mark.parametrize(("agreement", "spectrum", "told"), [(8, False, True), (0, True, True), (0, False, False)])
def test_numbers_that_were_read_otherwise_are_not_scored(tmp_path, agreement, spectrum, told):
    def config(**visual):
        parts = {
            "rppg": {"agreement": agreement},
            "landmarks": {"spectrum": spectrum},
            "visual": {"frames": 4, **visual},
        }
        return {"model": {"modalities": ["rppg", "landmarks"], **parts}}

    run_files.write_config(tmp_path / "before", config())
    if told:
        with pytest.raises(UserError, match="model.(rppg.agreement|landmarks.spectrum) otherwise"):
            run_files.check_config(tmp_path / "before", config(contrast=0), resume=False)
    else:
        run_files.check_config(tmp_path / "before", config(contrast=0), resume=False)
    run_files.write_config(tmp_path / "today", config(contrast=0))
    run_files.check_config(tmp_path / "today", config(contrast=0), resume=False)


def test_the_size_of_frames_that_nothing_reads_may_change_for_scoring(tmp_path):
    def config(modalities, size):
        return {"model": {"modalities": modalities, "rppg": {"frame_size": size}}}

    run_files.write_config(tmp_path / "images", config(["visual"], 128))
    run_files.check_config(tmp_path / "images", config(["visual"], 16), resume=False)
    run_files.write_config(tmp_path / "pulse", config(["rppg"], 128))
    with pytest.raises(UserError, match="frame_size was 128, is 16"):
        run_files.check_config(tmp_path / "pulse", config(["rppg"], 16), resume=False)


def test_weights_may_move_for_scoring_but_not_come_or_go(tmp_path):
    def config(text="", rppg="", start=""):
        return {"model": {"text_encoder": {"weights": text}, "rppg": {"weights": rppg}}, "init_from": start}

    run_files.write_config(tmp_path, config("clip", "open-rppg:rlap:here.h5"))
    run_files.check_config(tmp_path, config("else/where", "open-rppg:rlap:there.h5"), resume=False)
    for other in (config("", "open-rppg:rlap"), config("clip", "open-rppg:pure"), config("clip", "x.pkl")):
        with pytest.raises(UserError, match="weights was"):
            run_files.check_config(tmp_path, other, resume=False)
    with pytest.raises(UserError, match="model.text_encoder.weights was 'clip', is 'else/where'"):
        run_files.check_config(tmp_path, config("else/where", "open-rppg:rlap:here.h5"), resume=True)


def test_a_network_is_kept_for_a_run_that_has_begun(tmp_path):
    kept = {"shapes": {}, "vocabulary": 7, "tokens": [[[1, 2]]], "context_words": []}
    run_files.write_network(tmp_path, kept)
    assert run_files.read_network(tmp_path) is None  # of a start that was cut off, with whatever configuration
    run_files.write_config(tmp_path, {})
    assert run_files.read_network(tmp_path) == kept


def test_flatten_joins_keys_and_leaves_out_empty_sections():
    config = {"a": {"b": 1, "c": {"d": (1, 2), "e": None}}, "f": {}, "g": ""}
    assert flattened(config) == {"a.b": 1, "a.c.d": (1, 2), "a.c.e": None, "g": ""}


def test_prompts_that_changed_are_named(tmp_path):
    bank = {"real": ("a real face",), "fake": ("a forgery", "an attack")}
    run_files.check_prompts(tmp_path, bank)  # nothing was saved yet
    run_files.write_prompts(tmp_path, bank)
    run_files.check_prompts(tmp_path, bank)
    with pytest.raises(UserError, match="other prompts for fake"):
        run_files.check_prompts(tmp_path, bank | {"fake": ("a forgery",)})
    with pytest.raises(UserError, match="classes real, fake, not real, Deepfakes"):
        run_files.check_prompts(tmp_path, {"real": bank["real"], "Deepfakes": ("a deepfake",)})


@pytest.mark.parametrize("name", [run_files.CONFIG, run_files.PROMPTS, run_files.TRAINING_DATA])
def test_a_damaged_file_is_one_line(tmp_path, name):
    path = tmp_path / run_files.FOLDER / name
    path.parent.mkdir()
    path.write_text("{")
    with pytest.raises(UserError, match=f"{name}: not readable as JSON") as error:
        run_files.check_config(tmp_path, {}, resume=True)
        run_files.check_prompts(tmp_path, {})
        run_files.read_training_data(tmp_path)
    assert "\n" not in str(error.value)


def test_other_records_are_refused(tmp_path):
    assert run_files.read_training_data(tmp_path) is None
    records = {"sha256": "a" * 64, "clips": 3}
    run_files.write_training_data(tmp_path, "faces", {"001", ""}, records)
    assert json.loads((tmp_path / run_files.FOLDER / run_files.TRAINING_DATA).read_text())["identities"] == ["001"]
    run_files.check_same_records(tmp_path, records)
    with pytest.raises(UserError, match="trained on other records .sha256 aaaaaaaaaaaa, 3 clips. than the present"):
        run_files.check_same_records(tmp_path, {"sha256": "b" * 64, "clips": 3})
