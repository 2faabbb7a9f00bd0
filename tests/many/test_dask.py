"""Many machines, for which a local cluster of two processes stands: the same bits as here, whatever becomes of a worker.

Workers are killed at fixed moments, not at random ones: by a task of their own, or between two sweeps. Dask must run what they held
again.
"""

import contextlib
import functools
import itertools
import multiprocessing
import os
import signal
import sys
import warnings

import numpy as np
import pytest
from scipy import sparse

import dualib
from dualib import datasets, sharded
from dualib.many import workers
from dualib.many.parallel import TaskError
from dualib.sharded import pools

dask = pytest.importorskip("dask")
joblib = pytest.importorskip("joblib")
distributed = pytest.importorskip("distributed")
PROBLEMS = [datasets.toy(), datasets.erasure(0.3)]
FIELDS = ("encoder", "means", "objective", "gap", "rho", "n_iter")


@pytest.fixture(scope="module")
def client():
    """Of two workers of one thread each, which nannies start again when they die.

    A local cluster gives a worker up for good that happens to be away, by a second kill, some seconds after the first.
    """
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None, "silence_logs": 50}
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "1 hour"}),
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


def count(number):
    return number


def test_many_more_tasks_than_threads_come_in_order_and_are_dropped_when_nobody_waits(client):
    outcomes = workers.in_order(workers.pool_of(None, "dask"), count, [(i,) for i in range(40)])
    assert [next(outcomes).value for _ in range(20)] == list(range(20))
    outcomes.close()
    assert [outcome.value for outcome in workers.in_order(workers.OnDask(client), count, [])] == []


# ---- a table in shards ------------------------------------------------------------------------------------------------------


def counts_of_topics():
    """300 documents of three topics, in 80 words."""
    rng = np.random.default_rng(0)
    words = rng.dirichlet(np.full(80, 0.1), 3)
    return sparse.csr_array(np.array([rng.multinomial(30, 0.7 * words[i % 3] + 0.3 / 80) for i in range(300)]))


def rows(table, begin, end, folder):
    """Rows of a table, unless the worker that loads them is to die."""
    if multiprocessing.parent_process() is not None:
        _die_once(folder)
    return table[begin:end]


def in_shards(folder):
    table = counts_of_topics()
    ends = (0, 50, 51, 300)
    return [functools.partial(rows, table, begin, end, str(folder)) for begin, end in itertools.pairwise(ends)]


def state(solution):
    """The bits of a sharded solution."""
    numbers = solution.objective, solution.rate, solution.relevance, solution.residual, solution.n_iter
    return numbers, solution.weights.tobytes(), solution.decoder.tobytes(), solution.labels().tobytes()


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The trace at two betas in this process, and its sweeps."""
    joint = sharded.ShardedJoint(in_shards(tmp_path_factory.mktemp("none")))
    first = sharded.solve(joint, 3.0, 3, tol=1e-4)
    second = sharded.solve(joint, 12.0, init=first, tol=1e-4)
    assert first.n_iter > 5 and second.n_iter > 2  # there are sweeps for workers to die between
    return first, second


@pytest.mark.parametrize("bundles", [1, 2])  # for each worker: of three shards some are two together, or all alone
def test_a_table_in_shards_on_two_workers(client, alone, tmp_path, monkeypatch, bundles):
    monkeypatch.setattr(pools, "_BUNDLES", bundles)
    joint = sharded.ShardedJoint(in_shards(tmp_path), client=client)
    first = sharded.solve(joint, 3.0, 3, tol=1e-4)
    assert state(first) == state(alone[0])
    assert joint.mutual_information == alone[0].joint.mutual_information
    np.testing.assert_array_equal(first.encoder(2), alone[0].encoder(2))


def test_a_trace_with_two_kills_ends_with_the_same_bits(client, alone, tmp_path):
    """One worker dies while it loads a shard, and one between two sweeps, with its shards."""
    died = []

    def kill(done, total):
        if done == 3:
            died.append(min(client.run(os.getpid).values()))
            os.kill(died[0], signal.SIGKILL)

    armed(tmp_path, 1)
    joint = sharded.ShardedJoint(in_shards(tmp_path), client=client)
    assert os.listdir(tmp_path) == []
    first = sharded.solve(joint, 3.0, 3, tol=1e-4, progress=kill)
    second = sharded.solve(joint, 12.0, init=first, tol=1e-4)
    assert len(died) == 1
    assert (state(first), state(second)) == (state(alone[0]), state(alone[1]))


def test_workers_that_die_within_sweeps_change_no_bit(client, alone, tmp_path):
    """Where shards are loaded for every sweep, so that a load can kill."""

    def arm(done, total):
        if done in (2, 5):
            armed(tmp_path, 1)

    joint = sharded.ShardedJoint(in_shards(tmp_path), client=client, keep=False)
    first = sharded.solve(joint, 3.0, 3, tol=1e-4, progress=arm)
    assert os.listdir(tmp_path) == []
    assert state(first) == state(alone[0])


def test_files_are_read_by_the_workers(client, alone, tmp_path):
    from pyarrow import Table, parquet

    table = counts_of_topics().tocoo()
    for number, part in enumerate((table.row < 90, table.row >= 90)):
        columns = {"x": table.row[part], "y": table.col[part], "count": table.data[part]}
        parquet.write_table(Table.from_pydict(columns), tmp_path / f"{number}.parquet")
    here, there = (sharded.ShardedJoint(tmp_path, n_y=80, client=one) for one in (None, client))
    found = sharded.solve(there, 3.0, init=alone[0], tol=1e-4)
    assert state(found) == state(sharded.solve(here, 3.0, init=alone[0], tol=1e-4))
    assert found.objective == pytest.approx(alone[0].objective, rel=1e-12)
    with pytest.raises(ValueError, match=r"^shard '.*[01]\.parquet' must have a column 'word'"):
        sharded.ShardedJoint(tmp_path, columns=("x", "word", "count"), client=client)


def give_up_at_once(dask_scheduler):
    dask_scheduler.allowed_failures = 0


# last: dask gives up a task when one worker died of it, to save time, from here on
def test_a_task_that_kills_its_workers_ends_the_sweep(client, tmp_path):
    client.run_on_scheduler(give_up_at_once)
    with (
        joblib.parallel_config(backend="dask"),
        pytest.raises(TaskError, match=r"the workers failed after 0 of 1 .*KilledWorker"),
    ):
        dualib.solve_many(PROBLEMS[0], [8.0], distortions=armed(tmp_path, 50))
