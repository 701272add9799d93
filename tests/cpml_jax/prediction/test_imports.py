"""What predict loads before it answers: seconds of imports that nothing of an answer needs stay away."""

import json
import os
import subprocess
import sys

# Beside the model's own (jax, flax) and what flax and Orbax bring.
HEAVY = {
    "apache_beam", "av", "dlib", "grain", "huggingface_hub", "matplotlib", "onnx", "onnxruntime", "optax", "pandas",
    "scipy", "sklearn", "tensorflow", "tensorflow_datasets", "torch", "transformers",
}  # fmt: skip


def loaded(code: str) -> set[str]:
    """Packages that a process has imported after some code."""
    tell = "import json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", f"{code}\n{tell}"], env=environment, capture_output=True, check=True)
    return set(json.loads(done.stdout))


def test_the_process_that_scores_reads_no_video_and_trains_nothing():
    begun = loaded("import cpml_jax.cli, cpml_jax.predict")  # until the videos' reader is started
    assert not begun & (HEAVY | {"jax", "flax", "orbax"})
    model = loaded(
        "import cpml_jax.cli, cpml_jax.predict, cpml_jax.compiled, cpml_jax.evaluation.model_folder\n"
        "assert 'orbax' not in __import__('sys').modules\nimport cpml_jax.training.checkpoint"
    )
    assert {"jax", "flax", "orbax"} <= model and not model & HEAVY


def test_a_process_that_reads_loads_no_model():
    read = loaded(
        "from cpml_jax.prediction import reading, windows\nfrom data_prep.worker import start_worker\n"
        "reading.VideoClips().load()"
    )
    assert {"av", "dlib", "onnxruntime"} <= read
    assert not read & (HEAVY - {"av", "dlib", "onnx", "onnxruntime"} | {"jax", "flax", "orbax"})
