"""Every text that a user writes or a run holds, changed at random: it is read, or refused in one line."""

import itertools
import json
import math
import tempfile
from collections.abc import Callable
from pathlib import Path

import published
import pytest
import tiny_compare
import tiny_page
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cpml_jax import compare, report
from cpml_jax.errors import UserError
from cpml_jax.evaluation import verdict
from cpml_jax.evaluation.heart_rate import Pulse
from cpml_jax.files import finite
from cpml_jax.models import prompt_bank
from cpml_jax.prediction.answer import describe
from cpml_jax.prediction.windows import ScoredWindow
from cpml_jax.report import canvas
from cpml_jax.training import run_files
from data_prep import sources
from data_prep.forge import listing
from hostile import counts, texts

FEW, WHOLE = 25, 800  # examples of a format, with the suite and in the whole bench


def answered(read: Callable[[], object]) -> bool:
    """Whether it was read; if not, the refusal is one line."""
    try:
        read()
        return True
    except UserError as error:
        said = str(error)
        assert said.strip() and said.isprintable() and len(said) < 1_000_000, said[:300]
        return False


def put(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


PEOPLE = [f"{letter}{number}" for letter in "abcdef" for number in (1, 2)]
FOLDER_CSV = "path,label,identity,method,compression,split,video,target\n" + "".join(
    f"v/{p}.mp4,real,{p},,c23,{'train' if p < 'e' else 'test'},{p},\n"
    f"v/{p}f.mp4,fake,{p},swap,c23,{'train' if p < 'e' else 'test'},{p}f,{p}\n" for p in PEOPLE
)  # fmt: skip
FORGE_CSV = "path,identity,split,label\n" + "".join(
    f"v/{p}.mp4,{p},{('train', 'val', 'test')[i % 3]},real\n" for i, p in enumerate(PEOPLE)
)
FORGED_CSV = "path,label,identity,source_identity,method,compression,split,video,target,mask\n" + "".join(
    f"v/{p}.mp4,real,{p},,real,c23,train,{p},,\nv/{p}f.mp4,fake,{p},x,swap,c23,train,{p}f,{p},m/{p}.mp4\n"
    for p in PEOPLE
)
LABELS = "filename,label\na.mp4,0\nb.mp4,1\n"
BANK = json.dumps({"real": ["a real face", "genuine"], "fake": ["a fake face"], "Deepfakes": ["a {} face"]})
PAIRS = json.dumps([["000", "003"], ["001", "870"]])
METADATA = json.dumps({"a.mp4": {"label": "FAKE", "original": "b.mp4", "split": "train"}, "b.mp4": {"label": "REAL"}})
PREVIEW = json.dumps({"method_A/1_2_A_001.mp4": {"label": "fake", "set": "train"}})


def listed(kind: str, root: Path, name: str, data: bytes, *folders: str) -> None:
    put(root, name, data)
    for folder in folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
    sources.list_videos(kind, root)


def ffpp(root: Path, data: bytes) -> None:
    for split in ("val", "test"):
        put(root, f"{split}.json", b"[]")
    put(root, "original_sequences/youtube/c23/videos/000.mp4", b"x")
    listed("ffpp", root, "train.json", data)


def crop_tree(root: Path, data: bytes) -> None:
    listed("crop_tree", root, "FF++_train.txt", data, "original_sequences/youtube/c23/crop_MTCNN")


FORMATS: dict[str, tuple[str, Callable[[Path, bytes], object]]] = {
    "CSV of videos": (FOLDER_CSV, lambda root, data: sources.list_videos("folder", put(root, "list.csv", data))),
    "CSV to forge": (FORGE_CSV, lambda root, data: listing.real_videos(put(root, "r/list.csv", data), root / "out")),
    "CSV of forged videos": (FORGED_CSV, lambda root, data: listed("forged", root, "videos.csv", data)),
    "prompt bank": (BANK, lambda root, data: prompt_bank.read(str(put(root, "bank.json", data)))),
    "FF++ split": (PAIRS, ffpp),
    "DFDC metadata": (METADATA, lambda root, data: listed("dfdc", root, "train/dfdc_train_part_0/metadata.json", data)),
    "DFDC labels": (LABELS, lambda root, data: listed("dfdc", root, "test/labels.csv", data)),
    "DFDC preview": (PREVIEW, lambda root, data: listed("dfdc_preview", root, "dataset.json", data)),
    "Celeb-DF list": (
        "1 YouTube-real/00170.mp4\n0 Celeb-synthesis/id0_id1_0001.mp4\n1 Celeb-real/id1_0001.mp4\n",
        lambda root, data: listed("celebdf", root, "List_of_testing_videos.txt", data,
                                  "YouTube-real", "Celeb-synthesis", "Celeb-real"),
    ),
    "list of crops": ("Deepfakes,001_870,-1\nyoutube,001,+1\n", crop_tree),
}  # fmt: skip


def run_examples(strategy, examine: Callable[[Path, object], bool], root: Path, examples: int, part: str) -> None:
    """`examine` in a new folder for each example; says how many were answered."""
    told, folders = [], itertools.count()

    @settings(
        max_examples=examples, deadline=None, derandomize=examples == FEW, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(strategy)
    def examined(data):
        folder = root / str(next(folders))
        folder.mkdir()
        told.append(examine(folder, data))

    examined()
    counts.say({"part": part, "cases": len(told), "answers": sum(told), "refused": len(told) - sum(told)})


def text_format(name: str, root: Path, examples: int) -> None:
    text, read = FORMATS[name]
    run_examples(
        texts.edited(text), lambda folder, data: answered(lambda: read(folder, data)), root, examples, f"text: {name}"
    )


@pytest.mark.parametrize("name", FORMATS)
def test_a_users_text(tmp_path, name):
    text_format(name, tmp_path, FEW)


@pytest.mark.hostile
@pytest.mark.parametrize("name", FORMATS)
def test_many_texts(tmp_path, name):
    text_format(name, tmp_path, WHOLE)


# --- the JSON of a run ----------------------------------------------------------------------------------------------

EVALUATED = tiny_page.evaluation()
EVALUATED["checkpoint"]["parameters_sha256"] = "ab"
EVALUATED["calibration"]["bounds"] = [0.1, 0.9]
for _result in EVALUATED["results"]:
    _result["threshold"]["video_margin"] = 0.25


def verdict_of(folder: Path, document: object) -> bool:
    """What predict makes of a run's evaluation.json is an answer as it is published, whatever stands there."""
    put(folder, "evaluation.json", texts.as_json(document).encode())
    decided = verdict.read(folder, 1234, "ab", 0.05)
    windows = [ScoredWindow(0, 0.0, 0.9, 1.5, Pulse(None, None, 70.0, 1.0, 0.001))]
    answer = {"video": "a.mp4"} | describe(windows, decided)
    assert all(math.isfinite(answer[key]) for key in ("margin", "score"))
    published.check("predict", json.loads(json.dumps(finite(answer), allow_nan=False)))
    return True


def compared(folder: Path, documents: tuple[object, object]) -> bool:
    evaluation, lines = documents
    rows = tiny_compare.lines()
    for name in ("a", "b"):
        put(folder, f"{name}/evaluation.json", texts.as_json(tiny_compare_document(rows, name == "b")).encode())
        put(folder, f"{name}/scores.jsonl", b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    put(folder, "b/evaluation.json", texts.as_json(evaluation).encode())
    put(folder, "b/scores.jsonl", b"".join(texts.as_json(line).encode() + b"\n" for line in lines if line is not None))
    return answered(lambda: compare.run([str(folder / "a"), str(folder / "b")], str(folder / "out")))


def tiny_compare_document(rows: list[dict], other: bool) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        written = tiny_compare.write(Path(folder) / "run", rows, changes={"loss.cqsl": 0.5} if other else {})
        return json.loads((Path(written) / "evaluation.json").read_text())


def reported(folder: Path, documents: tuple[object, object, object]) -> bool:
    evaluation, lines, curves = documents
    folder.rmdir()
    tiny_page.write_run(folder, arrays=False)
    put(folder, "evaluation.json", texts.as_json(evaluation).encode())
    for name, rows in (("scores.jsonl", lines), ("metrics.jsonl", curves)):
        rows = rows if isinstance(rows, list) else [rows]
        put(folder, name, b"".join(texts.as_json(row).encode() + b"\n" for row in rows))

    def read() -> None:
        page = report.write(folder, {}).read_text(encoding="utf-8")
        assert "script" not in tiny_page.Parsed(page).tags

    return answered(read)


def kept(folder: Path, document: object) -> bool:
    """What lies beside a run's checkpoints."""
    config = {"model": {"unified_dim": 16, "modalities": ["rppg"]}, "train": {"methods": ["a"]}, "name": "x"}
    for name in (run_files.CONFIG, run_files.PROMPTS, run_files.NETWORK, run_files.TRAINING_DATA):
        put(folder, f"{run_files.FOLDER}/{name}", texts.as_json(document).encode())
    reads = (
        lambda: run_files.check_config(folder, config, resume=False),
        lambda: run_files.check_config(folder, config, resume=True),
        lambda: run_files.check_prompts(folder, {"real": ("a",), "fake": ("b",)}),
        lambda: run_files.read_network(folder),
        lambda: run_files.check_same_records(folder, {"sha256": "x", "clips": 3}),
    )
    return all([answered(read) for read in reads])


CURVES = [{"kind": "train", "step": s, "loss": 3.0 / s, "ce": 1.0} for s in (1, 2, 3)] + [
    {"kind": "val", "step": 3, "auc": 0.9, "cross_entropy": 0.3}
]
SCORES = tiny_page.scores(methods=("Deepfakes",), compressions=("raw",), identities=2)
KEPT = {"model": {"unified_dim": 16}, "real": ["a"], "fake": ["b"], "records": {"sha256": "y", "clips": 2}}


def sometimes(document: object) -> st.SearchStrategy:
    return st.just(document) | texts.changed(document)


DOCUMENTS = {
    "a run's evaluation.json, predict": (texts.changed(EVALUATED), verdict_of),
    "a run's evaluation.json and scores.jsonl, compare": (
        st.tuples(
            sometimes(tiny_compare_document(tiny_compare.lines(), True)),
            sometimes(tiny_compare.lines()).map(lambda rows: rows if isinstance(rows, list) else [rows]),
        ),
        compared,
    ),
    "a run's files, report": (st.tuples(sometimes(EVALUATED), sometimes(SCORES), sometimes(CURVES)), reported),
    "what lies beside checkpoints": (texts.changed(KEPT), kept),
}


@pytest.fixture
def quick(monkeypatch):
    """Figures are made, but not drawn."""
    monkeypatch.setattr(canvas, "png", lambda figure: b"")
    monkeypatch.setattr(canvas, "svg", lambda figure, name: "<svg></svg>")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_runs_documents(tmp_path, name, capsys):
    run_examples(*DOCUMENTS[name], tmp_path, FEW, f"JSON: {name}")


@pytest.mark.hostile
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", DOCUMENTS)
def test_many_documents(tmp_path, name, capsys):
    run_examples(*DOCUMENTS[name], tmp_path, WHOLE // 2, f"JSON: {name}")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '{"results": ' + "[" * 50_000 + "]" * 50_000 + "}"])
def test_json_that_is_nested_too_deeply(tmp_path, text):
    """Python gives up on it by another exception than on other faults."""
    data = text.encode()
    for _, read in (FORMATS[name] for name in ("FF++ split", "DFDC metadata", "DFDC preview", "prompt bank")):
        assert not answered(lambda read=read: read(tmp_path, data))
    put(tmp_path, "run/evaluation.json", data)
    assert verdict.read(tmp_path / "run", 1, "ab", 0.05).threshold.source == "default"
    for act in (lambda: compare.run([str(tmp_path / "run")] * 2), lambda: report.write(tmp_path / "run", {})):
        assert not answered(act)


FOUND = {  # by the whole bench, each once a traceback
    "a zero byte": ("CSV to forge", FORGE_CSV.replace("v/c2", "\0v/c2")),
    "a zero byte in another list": ("CSV of videos", FOLDER_CSV.replace("v/c2", "v/\0c2")),
    "a long field": ("DFDC labels", LABELS + "x" * 140_000),
    "a name too long for a file": ("FF++ split", json.dumps([["0" * 5000, "003"]])),
}


@pytest.mark.parametrize("name", FOUND)
def test_what_the_bench_found(tmp_path, name):
    kind, text = FOUND[name]
    assert not answered(lambda: FORMATS[kind][1](tmp_path, text.encode()))


@pytest.mark.usefixtures("quick")
def test_an_evaluation_whose_configuration_is_none(tmp_path, capsys):
    rows = tiny_compare.lines()
    assert not compared(tmp_path / "compare", (tiny_compare_document(rows, True) | {"config": None}, rows))
    unversioned = {key: value for key, value in EVALUATED.items() if key != "schema"}
    reported(
        made(tmp_path / "report"), (unversioned | {"config": None}, SCORES, CURVES)
    )  # read or refused: no traceback


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder
