"""Sweeps on many cores: the same bits however many, in order, with errors that name the task."""

import copyreg
import pickle
import sys
import threading
import warnings

import numpy as np
import pytest

import dualib
from dualib import datasets
from dualib.many import workers
from dualib.many.parallel import TaskError

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
        ({"init": "identity"}, ValueError, r"^problems\[0\], .*: init must be an encoder .*got 'identity'"),
        ({"init": np.ones((4, 1))}, ValueError, r"^problems\[0\], .*: init must have one row for each of the 5 x"),
        (
            {"init": np.ones((5, 1)), "certify": False},
            ValueError,
            r"^problems\[1\], .*: init must have one row for each of the 2 x",
        ),
        (
            {"distortions": ["ib", dualib.RateDistortion(np.eye(5))]},
            ValueError,
            r"^problems\[1\], distortions\[1\] = .*: matrix has 5 rows",
        ),
        ({"distortions": "other"}, ValueError, "other"),
        ({"distortions": []}, ValueError, "distortions"),
        ({"seeds": [0.5]}, ValueError, "seeds must be whole numbers"),
    ],
)
def test_bad_arguments_are_refused_before_any_work(monkeypatch, options, error, message):
    monkeypatch.setattr("dualib.many.parallel._solve", lambda *a, **k: pytest.fail("work has begun"))
    with pytest.raises(error, match=message):
        dualib.solve_many(PROBLEMS, BETAS, **options)


def test_bad_problems_and_betas_are_named():
    with pytest.raises(TypeError, match="problems"):
        dualib.solve_many([np.eye(2)], BETAS)
    for problems in ("toy", b"toy", 3, None):
        with pytest.raises(TypeError, match="problems must be a JointDistribution or an iterable of them, got"):
            dualib.solve_many(problems, BETAS)
    with pytest.raises(ValueError, match="problems must not be empty"):
        dualib.solve_many([], BETAS)
    with pytest.raises(ValueError, match="betas"):
        dualib.solve_many(PROBLEMS, [1.0, -1.0])


def test_a_start_that_fits_is_taken_for_every_task():
    one = np.ones((5, 1))
    results = dualib.solve_many(PROBLEMS[0], [8.0, 20.0], init=one, certify=False)
    for solution in results:
        alone = dualib.solve(PROBLEMS[0], solution.beta, init=one, certify=False)
        np.testing.assert_array_equal(solution.encoder, alone.encoder)
        assert solution.n_clusters == 1 and solution.gap == np.inf


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


class Locked(dualib.IB):
    """What cannot be sent to another process."""

    def __init__(self):
        self.lock = threading.Lock()


def test_a_task_that_cannot_be_sent_to_a_worker_ends_the_sweep():
    with pytest.raises(TaskError, match=r"the workers failed after 0 of 2 results: \w+: .*pickle") as caught:
        dualib.solve_many(PROBLEMS[0], [2.0, 8.0], distortions=Locked(), n_jobs=2)
    assert caught.value.results.shape == (2,) and list(caught.value.results) == [None, None]
    here = dualib.solve_many(PROBLEMS[0], [2.0, 8.0], distortions=Locked())
    assert all(solution.converged for solution in here)


def test_without_joblib_one_after_the_other_is_still_the_default(monkeypatch, one_by_one):
    monkeypatch.setitem(sys.modules, "joblib", None)
    alone = dualib.solve_many(PROBLEMS[0], BETAS, seeds=[0])
    assert bits(alone.ravel()) == bits(one_by_one[0, 0, 0])


class TwoArguments(Exception):
    """Pickled well, but not to be made again: its __init__ wants more than pickle gives it."""

    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


def broken(what):
    raise ValueError(f"no {what}") if what == "plain" else TwoArguments(what, "more")


def test_an_error_of_a_task_is_raised_as_itself_wherever_it_was_caught(monkeypatch):
    for kind in (ValueError, TwoArguments):  # distributed lets errors travel with their tracebacks (tblib); without it
        monkeypatch.delitem(copyreg.dispatch_table, kind, raising=False)
    here, textual = workers.in_order(None, broken, [("plain",), ("odd",)])
    with pytest.raises(ValueError, match=r"^no plain$") as caught:
        workers.value_of(here)
    assert caught.value.__cause__ is None and caught.traceback[-1].name == "broken"
    travelled = pickle.loads(pickle.dumps(here))  # as from another process: without its traceback
    with pytest.raises(ValueError, match=r"^no plain$") as caught:
        workers.value_of(travelled)
    assert "in a worker:" in str(caught.value.__cause__) and "in broken" in str(caught.value.__cause__)
    for outcome in (textual, pickle.loads(pickle.dumps(textual))):
        with pytest.raises(RuntimeError, match=r"(?s)^TwoArguments: odd and more\n.*in broken"):
            workers.value_of(outcome)
