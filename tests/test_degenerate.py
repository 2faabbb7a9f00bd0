"""Degenerate problems: finite answers within their bounds, or a typed error; never NaN, inf or a bare numpy error.

The whole table, 8 betas by 20 seeds: ``python benchmarks/degenerate.py``; this is a slice of it.
"""

import importlib.util
import warnings
from pathlib import Path

import numpy as np
import pytest

import dualib

PATH = Path(__file__).parent.parent / "benchmarks" / "degenerate.py"
SPEC = importlib.util.spec_from_file_location("degenerate", PATH)
degenerate = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(degenerate)


@pytest.mark.parametrize("kind", ["ib", "dualib"])
@pytest.mark.parametrize("name", degenerate.PROBLEMS)
def test_every_answer_is_finite_or_a_typed_error(name, kind):
    for seed in range(2):
        for beta in degenerate.BETAS[seed::3]:
            assert degenerate.fault(name, kind, beta, seed) is None, (beta, seed)


@pytest.mark.parametrize("kind", ["ib", "dualib"])
@pytest.mark.parametrize("name", ["zero cell", "zero row", "identity", "independent", "subnormal", "counts of 1e300"])
def test_whole_paths_are_finite(name, kind):
    joint, _ = degenerate.PROBLEMS[name](np.random.default_rng(0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", dualib.ConvergenceWarning)
        curve = dualib.anneal(joint, kind, [0.1, 2.0, 50.0])
    for solution in curve:
        assert degenerate.unsound(solution) is None
    assert not np.isnan(curve.onset)


def test_what_the_check_calls_unsound_is():
    """The checker itself: it must see a NaN, an infinite objective and a relevance above its bound."""
    solution = dualib.solve(dualib.datasets.toy(), 8.0)
    assert degenerate.unsound(solution) is None

    class Changed:
        def __init__(self, **fields):
            self.fields = fields

        def __getattr__(self, name):
            return self.fields.get(name, getattr(solution, name))

    assert "objective" in degenerate.unsound(Changed(objective=np.inf))
    assert "encoder" in degenerate.unsound(Changed(encoder=solution.encoder * np.nan))
    assert "encoder" in degenerate.unsound(Changed(encoder=solution.encoder * 2.0))
    assert "relevance" in degenerate.unsound(Changed(relevance=solution.rate + 1.0))


def test_closed_forms_of_the_degenerate():
    """Where the answer is known: independent, one x, one y, identity at large beta."""
    rng = np.random.default_rng(0)
    for kind in ("ib", "dualib"):
        for name in ("independent", "1 x n", "n x 1"):
            joint, _ = degenerate.PROBLEMS[name](rng)
            solution = dualib.solve(joint, 7.0, kind)
            assert solution.n_clusters == 1
            assert abs(solution.objective) < 1e-12 and abs(solution.rate) < 1e-12
        joint, _ = degenerate.PROBLEMS["identity"](rng)
        solution = dualib.solve(joint, 50.0, kind)
        entropy = -np.sum(joint.px * np.log(joint.px))
        assert solution.n_clusters == joint.n_x
        assert solution.rate == pytest.approx(entropy, abs=1e-9)
        assert solution.relevance == pytest.approx(entropy, abs=1e-9)


def test_counts_of_any_scale_are_the_same_problem():
    counts = np.random.default_rng(3).integers(1, 9, (4, 5)).astype(float)
    plain = dualib.solve(dualib.JointDistribution.from_counts(counts), 6.0)
    for scale in (1e300, 1e-300, 5e-324 * 2**40):
        scaled = dualib.solve(dualib.JointDistribution.from_counts(counts * scale), 6.0)
        assert scaled.objective == pytest.approx(plain.objective, rel=1e-9)


@pytest.mark.parametrize("kind", ["ib", "dualib"])
@pytest.mark.parametrize("rare", [1e-13, 1e-15, 1e-20, 1e-100, 1e-199, 1e-201, 1e-310])
def test_a_rare_x_that_shares_no_support_keeps_its_cluster(kind, rare):
    """However rare, it is infinitely far from every other cluster; below 1e-200 it counts as one that never happens."""
    p = np.array([rare, 0.5, 0.3, 0.2])
    solution = dualib.solve(dualib.JointDistribution(np.diag(p / p.sum())), 3.0, kind)
    assert solution.converged
    assert solution.n_clusters == (4 if rare > 1e-200 else 3)
    live = p[p > 0] / p.sum()
    assert solution.objective == pytest.approx(-np.sum(live * np.log(live)), rel=1e-9)
