"""Many machines, for which a local cluster of two processes stands: the same bits as here, whatever becomes of a worker.

Workers are killed at fixed moments, not at random ones: by a task of their own, or between two sweeps. Dask must run what they held
again.
"""

import contextlib
import functools
import multiprocessing
import os
import signal
import sys
import warnings

import numpy as np
import pytest

import dualib
from dualib import datasets
from dualib.many import workers
from dualib.many.parallel import TaskError

dask = pytest.importorskip("dask")
joblib = pytest.importorskip("joblib")
distributed = pytest.importorskip("distributed")
PROBLEMS = [datasets.toy(), datasets.erasure(0.3)]
FIELDS = ("encoder", "means", "objective", "gap", "rho", "n_iter")


@pytest.fixture(scope="module")
def client():
    """Of two workers of one thread each, which nannies start again when they die. A task may survive one of them, to save time."""
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None, "silence_logs": 50}
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(**options) as cluster,
        distributed.Client(cluster) as found,
    ):
        yield found


class Fatal(dualib.IB):
    """Kills the worker that it is used in: as often as there are files in a folder."""

    def __init__(self, folder):
        self.folder = str(folder)

    def lift(self, py_x):
        if multiprocessing.parent_process() is not None:
            _die_once(self.folder)
        return super().lift(py_x)


def _die_once(folder):
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):  # another worker was first
            os.unlink(os.path.join(folder, name))
            os.kill(os.getpid(), signal.SIGKILL)


def armed(folder, times):
    for number in range(times):
        (folder / str(number)).touch()
    return Fatal(folder)


def bits(results):
    """The bytes of what was computed, of solutions or curves."""
    solutions = [s for result in results for s in ([result] if isinstance(result, dualib.Solution) else list(result))]
    return [np.asarray(getattr(solution, name)).tobytes() for solution in solutions for name in FIELDS]


# before the cluster: it makes its client the current one
def test_dask_is_asked_for_where_there_is_no_client(monkeypatch):
    with pytest.raises(ValueError, match=r"backend 'dask' cannot be used: .*first create a Dask Client"):
        dualib.solve_many(PROBLEMS, [2.0], backend="dask")
    monkeypatch.setitem(sys.modules, "joblib", None)
    with pytest.raises(ImportError, match=r"backend='dask' needs joblib.*pip install \"dualib\[parallel\]\""):
        dualib.solve_many(PROBLEMS, [2.0], backend="dask")


def test_solves_through_parallel_config(client):
    here = dualib.solve_many(PROBLEMS, [2.0, 8.0, 20.0], distortions=["ib", "dualib"])
    with joblib.parallel_config(backend="dask"):
        there = dualib.solve_many(PROBLEMS, [2.0, 8.0, 20.0], distortions=["ib", "dualib"])
    assert there.shape == here.shape == (2, 2, 3)
    assert bits(there.ravel()) == bits(here.ravel())
    assert all(there[index].joint is PROBLEMS[index[0]] for index in np.ndindex(there.shape))
    named = dualib.solve_many(PROBLEMS, [2.0, 8.0, 20.0], distortions=["ib", "dualib"], backend="dask")
    assert bits(named.ravel()) == bits(here.ravel())


def test_a_killed_worker_changes_no_bit_of_solves_and_paths(client, tmp_path):
    unharmed = dualib.solve_many(PROBLEMS, [2.0, 8.0], distortions=Fatal(tmp_path))
    with joblib.parallel_config(backend="dask"):
        killed = dualib.solve_many(PROBLEMS, [2.0, 8.0], distortions=armed(tmp_path, 1))
    assert os.listdir(tmp_path) == []  # the worker did die
    assert bits(killed.ravel()) == bits(unharmed.ravel())
    here = dualib.anneal_many(PROBLEMS, [2.0, 8.0], distortions=Fatal(tmp_path))
    with joblib.parallel_config(backend="dask"):
        there = dualib.anneal_many(PROBLEMS, [2.0, 8.0], distortions=armed(tmp_path, 1))
    assert os.listdir(tmp_path) == []
    assert bits(there) == bits(here)


def test_comparisons_and_cross_fits_are_the_same(client, tmp_path):
    rng = np.random.default_rng(0)
    train, test = (rng.poisson(6.0, (8, 3)) + 1.0 for _ in range(2))
    compare = functools.partial(dualib.compare_predictions, train, test, betas=[2.0, 8.0], n_splits=2)
    cross = functools.partial(dualib.cross_fit, train, Fatal(tmp_path), [2.0, 8.0], n_splits=2, smoothing=0.5, n_shuffles=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dualib.ConvergenceWarning)
        here = compare().to_dataframe(), cross()
        with joblib.parallel_config(backend="dask"):
            armed(tmp_path, 1)
            there = compare().to_dataframe(), cross()
    assert os.listdir(tmp_path) == []
    assert here[0].equals(there[0])
    for name in ("relevance_of_splits", "log_loss_of_splits", "null_onsets"):
        assert getattr(here[1], name).tobytes() == getattr(there[1], name).tobytes()


def test_a_task_that_kills_every_worker_ends_the_sweep(client, tmp_path):
    with (
        joblib.parallel_config(backend="dask"),
        pytest.raises(TaskError, match=r"the workers failed after 0 of 1 .*KilledWorker"),
    ):
        dualib.solve_many(PROBLEMS[0], [8.0], distortions=armed(tmp_path, 50))


def count(number):
    return number


def test_many_more_tasks_than_threads_come_in_order_and_are_dropped_when_nobody_waits(client):
    outcomes = workers.in_order(workers.pool_of(None, "dask"), count, [(i,) for i in range(40)])
    assert [next(outcomes).value for _ in range(20)] == list(range(20))
    outcomes.close()
    assert [outcome.value for outcome in workers.in_order(workers.OnDask(client), count, [])] == []
