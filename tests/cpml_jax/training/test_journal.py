import json

from cpml_jax.training.journal import METRICS, Journal, keep_until

TIMES = {"step_s": 0.5, "data_wait_s": 0.1, "device_share": 0.75}


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def journal(workdir, first, last=10):
    return Journal(workdir, first_step=first, last_step=last)


def write(workdir, first, steps):
    with journal(workdir, first) as j:
        j.steps([(s, {"loss": float(s), "ce": 0.5}) for s in steps], clips=8, rate=lambda step: 0.1, times=TIMES)


def test_every_step_stands_once_after_a_restart(tmp_path):
    write(tmp_path, 0, [1, 2, 3, 4, 5])
    write(tmp_path, 3, [4, 5, 6])  # the checkpoint was of step 3
    rows = lines(tmp_path / METRICS)
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert all({"kind", "loss", "ce", "learning_rate"} <= row.keys() for row in rows)
    assert all(row["clips_per_s"] == 16 and TIMES.items() <= row.items() for row in rows)


def test_a_line_cut_by_a_kill_is_dropped(tmp_path):
    write(tmp_path, 0, [1, 2])
    with (tmp_path / METRICS).open("a") as file:
        file.write('{"kind": "train", "st')
    keep_until(tmp_path / METRICS, 2)
    assert [row["step"] for row in lines(tmp_path / METRICS)] == [1, 2]


def test_tensorboard_files_hold_the_same_scalars(tmp_path):
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import RecordWriter  # noqa: F401 - the format's own package is at hand

    write(tmp_path, 0, [1, 2])
    files = list((tmp_path / "tensorboard").glob("events.out.tfevents*"))
    assert len(files) == 1
    data, tags = files[0].read_bytes(), set()
    while data:
        length = int.from_bytes(data[:8], "little")
        event = Event.FromString(data[12 : 12 + length])
        tags |= {value.tag for value in event.summary.value}
        data = data[12 + length + 4 :]
    assert {"train/loss", "train/ce", "train/learning_rate", *(f"train/{name}" for name in TIMES)} <= tags
