"""Sweeps on many cores: the same bits however many, in order, with errors that name the task."""

import sys
import warnings

import numpy as np
import pytest

import dualib
from dualib import datasets
from dualib.parallel import TaskError

pytest.importorskip("joblib")
PROBLEMS = [datasets.toy(), datasets.erasure(0.3)]
BETAS = [2.0, 8.0, 20.0]


FIELDS = ("encoder", "means", "objective", "gap", "rho", "n_iter")


def bits(results):
    """The bytes of what was computed, of solutions or curves."""
    solutions = [s for result in results for s in ([result] if isinstance(result, dualib.Solution) else list(result))]
    return [np.asarray(getattr(solution, name)).tobytes() for solution in solutions for name in FIELDS]


def events(curve):
    return [(event.kind, event.beta, event.before, event.after) for event in curve.events]


@pytest.fixture(scope="module")
def one_by_one():
    return dualib.solve_many(PROBLEMS, BETAS, distortions=["ib", "dualib"], seeds=[0, 1])


@pytest.mark.parametrize("options", [{"n_jobs": 2}, {"n_jobs": 2, "backend": "threading"}, {"n_jobs": 1}, {"n_jobs": -1}])
def test_solves_are_the_same_bit_for_bit(one_by_one, options):
    results = dualib.solve_many(PROBLEMS, BETAS, distortions=["ib", "dualib"], seeds=[0, 1], **options)
    assert results.shape == one_by_one.shape == (2, 2, 2, 3)
    assert bits(results.ravel()) == bits(one_by_one.ravel())


def test_each_is_what_solve_gives_in_its_place(one_by_one):
    for index in np.ndindex(one_by_one.shape):
        p, d, s, b = index
        alone = dualib.solve(PROBLEMS[p], BETAS[b], ("ib", "dualib")[d], random_state=s)
        np.testing.assert_array_equal(one_by_one[index].encoder, alone.encoder)
        assert one_by_one[index].joint is PROBLEMS[p] and one_by_one[index].beta == BETAS[b]


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_paths_are_the_same_bit_for_bit(backend):
    here = dualib.anneal_many(PROBLEMS, BETAS, distortions=["ib", "dualib"])
    there = dualib.anneal_many(PROBLEMS, BETAS, distortions=["ib", "dualib"], n_jobs=2, backend=backend)
    assert here.shape == there.shape == (2, 2)
    assert bits(here.ravel()) == bits(there.ravel())
    for first, second in zip(here.ravel(), there.ravel(), strict=True):
        assert events(first) == events(second)


def test_single_values_have_no_axis():
    toy = PROBLEMS[0]
    assert isinstance(dualib.solve_many(toy, 8.0), dualib.Solution)
    assert dualib.solve_many(toy, [8.0]).shape == (1,)
    assert dualib.solve_many([toy], 8.0, distortions=["ib"], seeds=[3]).shape == (1, 1, 1)
    assert isinstance(dualib.anneal_many(toy, [2.0, 8.0]), dualib.Curve)


def test_one_progress_for_all(capfd):
    calls = []
    dualib.solve_many(PROBLEMS, BETAS, n_jobs=2, backend="threading", progress=lambda done, total: calls.append((done, total)))
    assert calls == [(i + 1, 6) for i in range(6)]
    dualib.solve_many(PROBLEMS, BETAS, progress=True)
    assert capfd.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_jobs": 0}, ValueError, "n_jobs must not be 0"),
        ({"n_jobs": 1.5}, TypeError, "n_jobs must be a whole number or None, got 1.5"),
        ({"n_jobs": True}, TypeError, "n_jobs must be a whole number or None, got True"),
        ({"n_jobs": 2, "backend": "no such"}, ValueError, "backend 'no such'"),
        ({"backend": 3}, TypeError, "backend must be the name"),
        ({"on_error": "ignore"}, ValueError, "on_error must be 'raise' or 'return', got 'ignore'"),
        ({"tol": -1.0}, ValueError, "tol must be a positive number"),
        ({"random_state": 0}, TypeError, "random_state.*give seeds"),
        ({"betas_": 0}, TypeError, "unknown option 'betas_'"),
        ({"distortions": "other"}, ValueError, "other"),
        ({"distortions": []}, ValueError, "distortions"),
        ({"seeds": [0.5]}, ValueError, "seeds must be whole numbers"),
    ],
)
def test_bad_arguments_are_refused_before_any_work(monkeypatch, options, error, message):
    monkeypatch.setattr("dualib.parallel._solve", lambda *a, **k: pytest.fail("work has begun"))
    with pytest.raises(error, match=message):
        dualib.solve_many(PROBLEMS, BETAS, **options)


def test_bad_problems_and_betas_are_named():
    with pytest.raises(TypeError, match="problems"):
        dualib.solve_many([np.eye(2)], BETAS)
    with pytest.raises(ValueError, match="betas"):
        dualib.solve_many(PROBLEMS, [1.0, -1.0])


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_failing_task_is_named_and_the_rest_can_be_had(n_jobs):
    disjoint = dualib.JointDistribution(np.eye(3) / 3.0)
    work = {"problems": [PROBLEMS[0], disjoint], "betas": [8.0], "distortions": "dualib", "n_clusters": 1, "n_jobs": n_jobs}
    work["backend"] = "threading" if n_jobs > 1 else None
    problems, betas = work.pop("problems"), work.pop("betas")
    with pytest.raises(TaskError, match=r"problems\[1\].*n_clusters: no feasible clustering") as caught:
        dualib.solve_many(problems, betas, **work)
    assert caught.value.index == (1, 0)
    assert isinstance(caught.value.results[0, 0], dualib.Solution) and caught.value.results[1, 0] is None
    results = dualib.solve_many(problems, betas, on_error="return", **work)
    assert isinstance(results[0, 0], dualib.Solution) and isinstance(results[1, 0], TaskError)


@pytest.mark.parametrize("options", [{}, {"n_jobs": 2}, {"n_jobs": 2, "backend": "threading"}])
def test_missed_tolerances_are_one_warning(options):
    with pytest.warns(dualib.ConvergenceWarning, match="2 of 2 tasks missed tol, the first") as caught:
        results = dualib.solve_many(PROBLEMS[0], [20.0, 40.0], max_iter=1, **options)
    assert len(caught) == 1 and caught[0].filename == __file__
    assert not any(solution.converged for solution in results)


def test_joblib_is_needed_for_more_than_one_job_only(monkeypatch):
    monkeypatch.setitem(sys.modules, "joblib", None)
    with pytest.raises(ImportError, match=r'n_jobs=2 needs joblib.*pip install "dualib\[parallel\]"'):
        dualib.solve_many(PROBLEMS, BETAS, n_jobs=2)
    assert dualib.solve_many(PROBLEMS[0], 8.0, n_jobs=1).converged


def test_what_parallel_config_says_counts():
    import joblib

    with joblib.parallel_config("threading", n_jobs=2):
        results = dualib.solve_many(PROBLEMS, [2.0, 8.0])
    assert bits(results.ravel()) == bits(dualib.solve_many(PROBLEMS, [2.0, 8.0]).ravel())


def test_predictions_are_compared_alike_by_one_and_by_two():
    rng = np.random.default_rng(0)
    train, test = (rng.poisson(6.0, (12, 4)) + 1.0 for _ in range(2))
    options = {"betas": [2.0, 8.0], "methods": ("ib", "dualib", "plug-in"), "n_splits": 2}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dualib.ConvergenceWarning)
        one, two = (dualib.compare_predictions(train, test, n_jobs=n_jobs, **options) for n_jobs in (1, 2))
    assert repr(one) == repr(two)
    frames = one.to_dataframe(), two.to_dataframe()
    assert frames[0].equals(frames[1]) and len(frames[0]) > 4
