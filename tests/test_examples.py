"""Every example runs, silently as far as warnings go, and draws a picture."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("plot_*.py"))


def test_there_are_examples():
    assert EXAMPLES


@pytest.mark.parametrize("example", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_example_runs_and_draws(example, tmp_path):
    """In a directory of its own, without a screen, every warning an error."""
    if "Needs torch" in example.read_text(encoding="utf-8") and importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(
        [sys.executable, "-W", "error", str(example)],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "Agg", "DUALIB_QUICK_EXAMPLES": "1", "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr == ""
    pictures = list(tmp_path.glob("*.png"))
    assert pictures
    for picture in pictures:
        assert picture.read_bytes().startswith(b"\x89PNG\r\n")
        colours = imread(picture)[..., :3]
        coloured = np.ptp(colours, axis=-1) > 0.1  # axes, ticks and text are grey: empty axes have none
        assert coloured.mean() > 1e-3
