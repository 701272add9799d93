"""The same records with Beam, on its local runner, as without; and every mistake in one line."""

import importlib.util
import sys

import pytest
from tensorflow_datasets.core.utils.shard_utils import ShardConfig

from cpml_jax.data.records import RecordSet
from cpml_jax.errors import UserError
from data_prep import prepare as preparation
from data_prep.records import beam
from data_prep.sources import Video
from data_prep.synthetic import generate
from tests.data_prep.records.shard_files import SHARD_BYTES, differing, files, write_two_splits

needs_beam = pytest.mark.skipif(
    importlib.util.find_spec("apache_beam") is None, reason="apache_beam is not installed: the extra `beam`"
)
LOCAL = "FnApiRunner"  # Beam's runner in Python; DirectRunner would first look for a newer one on the network
FRAMES = 24


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Two identities, real and Deepfakes, raw and c40; one file is empty, one damaged."""
    root = tmp_path_factory.mktemp("drawn")
    generate.generate(
        str(root), style="a", identities={"test": 2}, frames=FRAMES + 4, size=128,
        compressions={"test": ("raw", "c40")}, methods=("Deepfakes",), seed=5, workers=1, progress=False,
    )  # fmt: skip
    videos = sorted((root / "manipulated_sequences/Deepfakes/c40/videos").glob("*.mp4"))
    videos[0].write_bytes(b"")
    videos[1].write_bytes(videos[1].read_bytes()[:900])
    return root


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """As many shards of these few records as FF++ would have of its many."""
    monkeypatch.setattr(ShardConfig, "min_shard_size", SHARD_BYTES)


def prepare(root, records, pipelines=None):
    source = preparation.Source("faces", "ffpp", root, splits=("test",))
    sampling = preparation.Sampling(FRAMES, 1)
    return preparation.prepare(source, sampling, records, workers=1, progress=False, pipelines=pipelines)


@pytest.fixture(scope="module")
def alone(drawn, tmp_path_factory):
    """The records without Beam: every file of them."""
    records = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ShardConfig, "min_shard_size", SHARD_BYTES)
        prepare(drawn, records)
    return files(records)


@needs_beam
def test_the_shards_of_two_splits_are_the_same_with_beam(tmp_path):
    _, written = write_two_splits(tmp_path / "alone", None)
    assert differing(write_two_splits(tmp_path / "beam", LOCAL)[1], written) == []


@needs_beam
@pytest.mark.parametrize("mode", ["in_memory", "multi_processing"])
def test_every_file_is_the_same_with_beam(drawn, alone, tmp_path, mode):
    summary = prepare(drawn, tmp_path, beam.Pipelines(LOCAL, (f"direct_running_mode={mode}",)))
    assert summary["clips"]["total"] == 6 and sum(summary["excluded"].values()) == 2
    assert len([name for name in alone if "array_record" in name]) > 1
    assert differing(files(tmp_path), alone) == []
    record_set = RecordSet(tmp_path / "faces")
    assert [record_set.read(row)["label"] for row in record_set.rows] == [row["label"] for row in record_set.rows]


@needs_beam
def test_each_road_goes_on_where_the_other_was_interrupted(drawn, alone, tmp_path, monkeypatch):
    pipelines = beam.Pipelines(LOCAL)
    with monkeypatch.context() as patch:
        patch.setattr(preparation, "pack", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            prepare(drawn, tmp_path)
        work = sorted((tmp_path / "faces/work").glob("*.npz"))
        work[0].unlink()
        before = {path: path.stat().st_mtime_ns for path in work[1:]}
        with pytest.raises(KeyboardInterrupt):
            prepare(drawn, tmp_path, pipelines)
    assert {path: path.stat().st_mtime_ns for path in work[1:]} == before and work[0].is_file()
    monkeypatch.setattr(beam, "process", None)  # nothing is left for a worker to do
    prepare(drawn, tmp_path, pipelines)
    assert differing(files(tmp_path), alone) == []


@needs_beam
@pytest.mark.parametrize(
    "runner, options, message",
    [
        ("FlinkRuner", (), "FlinkRuner: Beam knows no such runner, did you mean 'FlinkRunner'"),
        ("no.such.module", (), "No module named 'no'"),
        (LOCAL, ("direct_num_worker=2",), "no 'direct_num_worker', did you mean 'direct_num_workers'"),
        (LOCAL, ("direct_num_workers=many",), "argument --direct_num_workers: invalid int value: 'many'"),
        (LOCAL, ("4",), "no '4'"),
    ],
)
def test_an_unknown_runner_or_option_is_one_line(runner, options, message):
    with pytest.raises(UserError) as raised:
        beam.Pipelines(runner, options)
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_without_apache_beam_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(UserError, match="'apache_beam': install the extra `beam`"):
        beam.Pipelines(LOCAL)


@needs_beam
def test_a_worker_that_sees_other_videos_stops_the_run_instead_of_excluding_them_all(drawn, tmp_path, monkeypatch):
    def elsewhere(self, name, groups, *rest):  # noqa: ANN001 - a mount that the workers lack
        moved = [[Video(**{**vars(v), "path": v.path + ".gone"}) for v in g] for g in groups]
        return original(self, name, moved, *rest)

    original = beam.Pipelines.process
    monkeypatch.setattr(beam.Pipelines, "process", elsewhere)
    with pytest.raises(UserError, match="a worker sees another file.*all workers share") as raised:
        prepare(drawn, tmp_path, beam.Pipelines(LOCAL))
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "faces/prepare.json").exists()


@needs_beam
def test_files_that_stay_on_the_workers_are_missed(tmp_path):
    with pytest.raises(UserError, match="2 of 2 files are not in .*storage that all workers share"):
        beam.run("Nothing", str, ["a", "b"], [tmp_path / "a", tmp_path / "b"], LOCAL)
