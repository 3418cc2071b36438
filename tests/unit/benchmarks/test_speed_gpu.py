"""The GPU's benchmark at toy size on the CPU, so that it runs where there is a GPU."""

import json
import sys

import pytest

pytest.importorskip("torch")


def test_every_part_gives_a_figure(monkeypatch, tmp_path):
    import speed_gpu

    monkeypatch.setattr("workload.RESULTS", tmp_path)
    sizes = ["--device", "cpu", "--sizes", "tiny", "embedded", "--texts", "6", "--cpu-texts", "3", "--plain-texts", "3"]
    monkeypatch.setattr(sys, "argv", ["speed_gpu.py", *sizes, "--presets"])
    monkeypatch.setattr(speed_gpu, "peak_gflops", lambda device, precision: 100.0)
    speed_gpu.main()
    rows = json.loads((tmp_path / "speed_gpu.json").read_text())["rows"]
    assert [(row["size"], row["precision"]) for row in rows] == [
        (size, precision) for precision in ("bfloat16", "float32") for size in ("tiny", "embedded")
    ]
    for row in rows:
        assert min(row[name] for name in ("words_per_s", "of_peak", "cpu_words_per_s", "plain_words_per_s")) > 0
        assert row["largest_cosine_distance"] < (1e-3 if row["precision"] == "bfloat16" else 1e-6)
