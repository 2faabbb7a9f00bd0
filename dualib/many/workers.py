"""Independent tasks, one after the other or by joblib: the results depend neither on their order nor on the number of workers.

Each task runs with one BLAS thread, wherever it runs: workers do not crowd each other, and sums are rounded alike. Results are
handed on in the order of the tasks, and errors with them, so that the caller decides what becomes of the rest.

On a dask cluster tasks are handed to its client, not to joblib, which waits for ever where dask gives a task up. Dask runs the
tasks of a worker that died again on another.
"""

from __future__ import annotations

import contextlib
import itertools
import pickle
import sys
import traceback
from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple

import numpy as np

from dualib._validation import shown
from dualib.threads import single_blas_thread
from dualib.warnings import convergence_collected


class Failure(NamedTuple):
    """An error of a task: its class and message, its traceback as text, and itself where it can travel between processes."""

    kind: str
    message: str
    trace: str
    error: Exception | None


class Outcome(NamedTuple):
    """What became of a task: its value or its failure, and the messages of its convergence warnings."""

    value: Any
    failure: Failure | None
    messages: list[str]


class OnDask(NamedTuple):
    """The distributed.Client that tasks are handed to."""

    client: Any


def pool_of(n_jobs: int | None, backend: str | None = None) -> Any:
    """The joblib.Parallel to run tasks with, or `OnDask`; None where they are to run here, one after the other.

    Parameters
    ----------
    n_jobs : int or None
        As in joblib: None is 1 unless ``joblib.parallel_config`` says otherwise, -1 all cores, -2 all but one.
    backend : str or None
        As in joblib; None is its default, processes ("loky"), or what ``joblib.parallel_config`` says. It must hand on results as
        they come, which "multiprocessing" does not. "dask": all workers of the current distributed.Client.

    Raises
    ------
    TypeError, ValueError
        Not a whole number, or 0; a backend unknown to joblib, or "dask" without a client.
    ImportError
        More than one job or a backend is wanted, and joblib is not installed.
    TimeoutError
        The dask cluster has no workers.
    """
    if n_jobs is not None:
        if isinstance(n_jobs, (bool, np.bool_)) or not isinstance(n_jobs, (int, np.integer)):
            raise TypeError(f"n_jobs must be a whole number or None, got {shown(n_jobs)}")
        if n_jobs == 0:
            raise ValueError("n_jobs must not be 0: 1 is one after the other, -1 all cores")
    if backend is not None and not isinstance(backend, str):
        raise TypeError(f"backend must be the name of a joblib backend or None, got {shown(backend)}")
    if n_jobs == 1 or (n_jobs is None and backend is None and "joblib" not in sys.modules):
        return None  # without joblib there is no parallel_config either
    try:
        import joblib
    except ImportError as error:
        if n_jobs is None and backend is None:
            return None
        wanted = f"n_jobs={n_jobs}" if backend is None else f"backend={shown(backend)}"
        raise ImportError(f'{wanted} needs joblib 1.3 or newer: pip install "dualib[parallel]"') from error
    jobs = None if n_jobs is None else int(n_jobs)
    try:
        with contextlib.nullcontext() if backend is None else joblib.parallel_config(backend):
            active, _ = joblib.parallel.get_active_backend()
            # no memory maps: a worker's arrays are then of the same kind as here
            pool = joblib.Parallel(n_jobs=jobs, return_as="generator", max_nbytes=None)
    except ValueError as error:
        raise ValueError(f"backend {shown(backend)} cannot be used: {error}") from None
    if type(active).__name__ == "DaskDistributedBackend":
        active.effective_n_jobs(-1)  # waits for workers, and says so where there are none
        return OnDask(active.client)
    return None if pool.n_jobs == 1 else pool


def in_order(pool: Any, call: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> Generator[Outcome, None, None]:
    """The outcome of ``call(*task)`` for each task, in their order; close the iterator to drop those that have not begun.

    Parameters
    ----------
    pool : joblib.Parallel, OnDask or None
        From `pool_of`.
    call : callable
        Of a module, so that other processes find it.
    tasks : sequence of tuples
    """
    if pool is None:
        for task in tasks:
            yield _outcome(call, task)
        return
    if isinstance(pool, OnDask):
        yield from _on_dask(pool.client, call, tasks)
        return
    import joblib

    outcomes = pool(joblib.delayed(_outcome)(call, task) for task in tasks)
    try:
        yield from outcomes
    finally:
        outcomes.close()


def _on_dask(client: Any, call: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> Generator[Outcome, None, None]:
    """`in_order` on a dask cluster: two tasks for each of its threads at a time, for each is sent with all its arguments."""
    from distributed import wait

    to_come, waiting, at_work = iter(tasks), deque[Any](), set[Any]()
    try:
        while True:
            width = 2 * max(1, sum(client.ncores().values()))
            for task in itertools.islice(to_come, max(0, width - len(at_work))):
                future = client.submit(
                    _outcome, call, task, pure=False
                )  # not pure: it would be found by a hash of all arguments
                waiting.append(future)
                at_work.add(future)
            if not waiting:
                return
            if not waiting[0].done():
                wait(at_work, return_when="FIRST_COMPLETED")
            at_work = {future for future in at_work if not future.done()}
            while waiting and waiting[0].done():
                yield waiting.popleft().result()
    finally:
        client.cancel(list(waiting))


def value_of(outcome: Outcome) -> Any:
    """The value, or the error raised, its traceback in the worker as its cause where it comes from another process."""
    failure = outcome.failure
    if failure is None:
        return outcome.value
    if failure.error is None:
        raise RuntimeError(f"{failure.kind}: {failure.message}\n{failure.trace}")
    if failure.error.__traceback__ is None:  # it does not travel between processes
        raise failure.error from RuntimeError(f"in a worker:\n{failure.trace}")
    raise failure.error


def _outcome(call: Callable[..., Any], task: tuple[Any, ...]) -> Outcome:
    with single_blas_thread(), convergence_collected() as messages:
        try:
            return Outcome(call(*task), None, messages)
        except Exception as error:
            return Outcome(None, _failure(error), messages)


def _failure(error: Exception) -> Failure:
    trace = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever its own __reduce__ or __init__ raises: text can always be sent
        return Failure(type(error).__name__, str(error), trace, None)
    return Failure(type(error).__name__, str(error), trace, error)
