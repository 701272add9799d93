from data_prep.synthetic.generate import generate
from data_prep.synthetic.pulse_table import pulse_table


def test_compression_takes_the_pulse(tmp_path):
    generate(
        str(tmp_path),
        style="a",
        identities={"test": 6},
        frames=128,
        size=160,
        methods=(),
        seed=5,
        workers=2,
        compressions={"test": ("raw", "c23", "c31", "c40")},
        progress=False,
    )
    row = pulse_table(str(tmp_path))["original_sequences/youtube"]
    assert row["raw"][0] > 0.7
    assert row["raw"][0] > row["c23"][0] > row["c31"][0] > row["c40"][0] + 0.1
    assert list(row) == ["raw", "c23", "c31", "c40"]
