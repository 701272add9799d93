"""How long the runs of a sweep may take."""

import json

import tiny

from cpml_jax.sweep import pace


def test_the_forecast_names_the_runs_it_rests_on(tmp_path):
    waiting = {"train_c23": tiny.tiny_config(**{"train.steps": 100, "train.batch_size": 8})}
    assert "unknown until the first run" in pace.forecast(tmp_path, tmp_path / "sweep", waiting)[1]
    rows = [{"kind": "train", "step": s, "clips_per_s": v} for s, v in ((1, 0.1), (2, 4.0), (3, 4.0))]
    text = "".join(json.dumps(row) + "\n" for row in rows) + '{"kind": "tra'
    (tmp_path / "metrics.jsonl").write_text(text)
    words, note = pace.forecast(tmp_path, tmp_path / "sweep", waiting)
    assert words == {"train_c23": "100 of 100 steps, about 3 min"} and f"at the speed of {tmp_path.name} " in note
    (tmp_path / "sweep/train_c23").mkdir(parents=True)
    (tmp_path / "sweep/train_c23/metrics.jsonl").write_text(text.replace("4.0", "2.0"))
    words, note = pace.forecast(tmp_path, tmp_path / "sweep", waiting)
    assert words == {"train_c23": "97 of 100 steps, about 6 min"} and "sweep/train_c23" in note
    assert "unknown" not in note and pace.forecast(tmp_path, tmp_path / "sweep", {})[1].startswith("Nothing")
