"""The demo on a small grid: what it computes, prints and writes."""

import csv
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dualib
from dualib.cli.demo import BETAS, TABLE_BETAS, _small_trees, curve_table, run_demo

SMALL = [0.4, 1.0, 2.0, 3.0, 4.0, 8.0]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "made" / "here"
    out = io.StringIO()
    patch = pytest.MonkeyPatch()
    patch.setattr(sys, "stdout", out)
    try:
        curves = run_demo(folder, betas=SMALL, progress=False)
    finally:
        patch.undo()
    return folder, curves, out.getvalue()


def test_both_problems_are_solved_to_the_gap_on_the_same_betas(ran):
    _, curves, _ = ran
    assert list(curves) == ["ib", "dualib"]
    for name, curve in curves.items():
        assert curve.distortion.name == name
        assert curve.beta.tolist() == SMALL
        assert curve.joint == dualib.datasets.load_letters(smoothing=0.5)
        assert curve.gap.max() <= 1e-9
        assert curve.n_clusters[0] == 1


def test_the_dual_curve_lies_below_the_ib_curve(ran):
    _, curves, _ = ran
    bound = np.interp(curves["dualib"].rate, curves["ib"].rate, curves["ib"].relevance)
    ends = curves["dualib"].rate <= curves["ib"].rate.max()
    assert (curves["dualib"].relevance < bound + 0.02)[ends].all()  # the IB curve is concave: its chords are below it


def test_vowels_part_from_consonants(ran):
    """At the beta whose clusters the demo prints, no consonant shares the cluster of a, i, u."""
    _, curves, out = ran
    for curve in curves.values():
        home = dict(zip(curve.joint.x_labels, np.argmax(curve.nearest(4.0).encoder, axis=1), strict=True))
        assert home["a"] == home["i"] == home["u"]
        assert {x for x in home if home[x] == home["a"]} <= set("aeiou")
    assert "IB       beta = 4 " in out


def test_the_table_holds_the_numbers(ran):
    _, curves, out = ran
    for beta in set(SMALL) & set(TABLE_BETAS):
        row = next(line for line in out.splitlines() if line.split()[:1] == [f"{beta:g}"])
        numbers = [float(cell) for cell in row.split()]
        for k, curve in enumerate(curves.values()):
            solution = curve.nearest(beta)
            wanted = [solution.rate, solution.relevance, solution.n_clusters]
            np.testing.assert_allclose(numbers[1 + 4 * k : 4 + 4 * k], wanted, atol=5.1e-5)


def test_what_it_says_is_written_is_written(ran):
    folder, curves, out = ran
    *listed, last = [line.strip() for line in out.split("Written:\n")[1].splitlines()]
    assert last.startswith("All in ")
    assert sorted(listed) == sorted(os.path.join(folder, name) for name in os.listdir(folder))
    assert "information-plane.png" in os.listdir(folder)
    for name, curve in curves.items():
        assert {f"{name}-bifurcations.png", f"{name}-clusters.png"} <= set(os.listdir(folder))
        loaded = dualib.load(folder / f"{name}-curve.npz")
        np.testing.assert_array_equal(loaded.rate, curve.rate)
        with open(folder / f"{name}-curve.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert [float(row["relevance"]) for row in rows] == curve.relevance.tolist()


def test_pictures_are_pictures_of_something(ran):
    from matplotlib.image import imread

    folder, _, _ = ran
    pictures = [name for name in os.listdir(folder) if name.endswith(".png")]
    assert len(pictures) == 7
    for name in pictures:
        pixels = imread(folder / name)
        assert min(pixels.shape[:2]) > 400
        assert 0.005 < np.mean(pixels[..., :3].min(axis=2) < 0.9) < 0.9  # neither blank nor black


def test_a_table_of_one_curve_spreads_over_it(ran):
    _, curves, _ = ran
    lines = curve_table([curves["ib"]], unit="bits").splitlines()
    assert len(lines) == 2 + len(SMALL)
    assert lines[1].endswith("[bits]")
    assert float(lines[-1].split()[1]) == pytest.approx(curves["ib"].rate[-1] / np.log(2.0), abs=5.1e-5)


def test_the_full_grid_holds_the_betas_of_the_table():
    assert set(TABLE_BETAS) <= set(BETAS.tolist())


def test_no_display_is_needed_and_the_backend_is_left_alone(tmp_path):
    code = (
        "import sys, matplotlib; matplotlib.use('svg'); from dualib.cli.demo import run_demo;"
        f"run_demo({str(tmp_path)!r}, betas=[2.0, 4.0]);"
        "assert matplotlib.get_backend() == 'svg'; assert 'matplotlib.pyplot' not in sys.modules"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(dualib.__file__).parents[1]), "OPENBLAS_NUM_THREADS": "1"}
    environment.pop("DISPLAY", None)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    assert run.returncode == 0, run.stderr
    lines = re.findall(r"^(IB|dual IB) +(\d+) of (\d+), ", run.stderr, re.M)  # two points, and what lies between them
    assert [line[0] for line in lines] == ["IB", "dual IB"]
    assert all(int(done) == int(total) > 2 for _, done, total in lines)


def test_one_beta_makes_no_tree(tmp_path, capsys):
    curves = run_demo(tmp_path, betas=[2.0])
    assert [curve.beta.tolist() for curve in curves.values()] == [[2.0], [2.0]]
    assert not [name for name in os.listdir(tmp_path) if "bifurcations" in name]
    assert {"ib-clusters.png", "dualib-clusters.png", "ib-curve.csv"} <= set(os.listdir(tmp_path))
    out, err = capsys.readouterr()
    assert [line.split(",")[0] for line in err.splitlines()] == ["IB         1 of 1", "dual IB    1 of 1"]
    for name in os.listdir(tmp_path):
        assert os.path.join(tmp_path, name) in out


def test_small_trees_are_as_many_as_there_are_y():
    pxy = np.random.default_rng(1).dirichlet(np.full(20, 0.3)).reshape(5, 4)
    curve = dualib.anneal(dualib.JointDistribution(pxy, y_labels=list("abcd")), "ib", [1.0, 4.0, 16.0])
    axes = _small_trees(curve).axes
    assert [ax.get_visible() for ax in axes] == [True] * 4 + [False] * 2
    spread = curve.joint.px @ (curve.joint.py_x - curve.joint.py) ** 2
    shown = "".join(ax.get_ylabel().split("= ")[1][0] for ax in axes[:4])
    assert shown == "".join("abcd"[y] for y in np.argsort(-spread))
