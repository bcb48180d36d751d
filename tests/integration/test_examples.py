"""The examples run as their page says."""

import re
import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.properties.plan import ROOT
from tests.tiny import config

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("sklearn") is None, reason="scikit-learn is not installed"),
]

MANY = {
    "UPS-01": {
        "kind": "UPS",
        "jars_per_string": 24,
        "strings": {f"S{i}": "HX12-120" for i in range(1, 7)},
    }
}


def test_a_model_of_one_seed_predicts_another(tmp_path):
    """Better than the mean life, and not so well that something must have leaked."""
    from fleetgen import pipeline

    for seed in (1, 2):
        pipeline.generate(
            config(
                MANY,
                output__directory=str(tmp_path / f"{seed}"),
                run__seed=seed,
                run__duration_days=4,
                run__sampling_seconds=900,
                output__format="parquet",
            )
        )
    script = ROOT / "examples" / "train_rul.py"
    told = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "1"), str(tmp_path / "2")],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    ).stdout
    mean, model = (float(x) for x in re.findall(r"^RMSE, .*?(\d+) d$", told, re.MULTILINE))
    assert 0.14 * mean < model < 0.95 * mean


def test_without_arguments_it_tells_how_to_use_it():
    script = ROOT / "examples" / "train_rul.py"
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode != 0
    assert "TRAIN TEST" in done.stderr
