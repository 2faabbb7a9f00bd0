"""Sweeps over problems, distortions, seeds and betas: `solve_many`, `anneal_many`."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dualib._validation import validate_choice
from dualib.distortions.interface import Distortion
from dualib.doors import door
from dualib.joint import JointDistribution
from dualib.many.grid import Axis, Grid, beta_axis, distortion_axis, problem_axis, seed_axis
from dualib.many.workers import Failure, Outcome, in_order, pool_of
from dualib.path.anneal import anneal, check_path
from dualib.progress import Progress, reporter
from dualib.results.curve import Curve
from dualib.results.solution import Solution
from dualib.solving.solver import check_options, solve
from dualib.warnings import warn_of_convergence

OnError = Literal["raise", "return"]
_INSTEAD = {
    "random_state": "give seeds",
    "distortion": "give distortions",
    "checkpoint": "a checkpoint belongs to one path",
}


class TaskError(RuntimeError):
    """One task of a sweep failed; the message names it, and ``__cause__`` is the error itself where that can be had.

    Attributes
    ----------
    index : tuple of int
        Where its result belongs in the array of results.
    kind, trace : str
        The class of the error, and the traceback in the worker.
    results : ndarray of object, or None
        With ``on_error="raise"``: the results that precede it, None in place of the others.

    Examples
    --------
    >>> import dualib
    >>> joint = dualib.JointDistribution([[0.5, 0.0], [0.0, 0.5]])  # by the dual IB no cluster can have both x
    >>> results = dualib.solve_many([joint], [4.0], distortions=["ib", "dualib"], n_clusters=1, on_error="return")
    >>> [type(result).__name__ for result in results.ravel()]
    ['Solution', 'TaskError']
    """

    index: tuple[int, ...] = ()
    kind: str = ""
    trace: str = ""
    results: npt.NDArray[np.object_] | None = None


@door
def solve_many(
    problems: JointDistribution | Iterable[JointDistribution],
    betas: npt.ArrayLike,
    *,
    distortions: str | Distortion | Iterable[str | Distortion] = "ib",
    seeds: int | Iterable[int | None] | None = None,
    n_jobs: int | None = None,
    backend: str | None = None,
    on_error: OnError = "raise",
    progress: Progress = False,
    **options: Any,
) -> Any:
    """Solve every combination of problem, distortion, seed and beta, each from scratch, on one core or many.

    The results do not depend on `n_jobs` and `backend`: each is ``solve(problem, beta, distortion, random_state=seed, **options)``
    with one BLAS thread, bit for bit.

    Parameters
    ----------
    problems : JointDistribution or iterable of JointDistribution
    betas : float or array_like, shape (m,)
        Trade-offs, > 0. Betas of one problem are solved independently: where there are many, `anneal_many` is faster.
    distortions : "ib", "dualib", Distortion, or iterable of these
    seeds : int, None, or iterable of these
        The `random_state` of each solve; None is the fixed seed of `solve`.
    n_jobs : int, optional
        Tasks at a time, as in joblib and scikit-learn: None is 1 unless ``joblib.parallel_config`` says otherwise, -1 all cores.
        Needs the extra `parallel` where it is not 1.
    backend : str, optional
        As in joblib: "loky" (processes, the default), "threading", or "dask": the workers of the current distributed.Client, as
        within ``joblib.parallel_config(backend="dask")``. Threads start at once and share memory, but only the compiled code and
        BLAS run side by side in them.
    on_error : "raise" or "return"
        "raise": the first task in order that fails ends the sweep with a `TaskError` that names it and holds the results before it.
        "return": the `TaskError` takes the place of the result, and the sweep goes on.
    progress : bool or callable
        True: one progress line on stderr for the whole sweep. A callable is called as ``progress(done, total)``.
    **options
        `alpha`, `tol`, `n_clusters`, `init`, `n_restarts`, `max_iter`, `certify`, as of `solve`, the same for all.

    Returns
    -------
    ndarray of Solution (dtype object), or Solution
        One axis for each of `problems`, `distortions`, `seeds` and `betas` that is a sequence, in this order; none for one that is a
        single value. A Solution where all four are single.

    Raises
    ------
    ValueError, TypeError, MemoryError
        A bad argument, named with its value, before any work.
    ImportError
        More than one job, and joblib is not installed.
    TaskError
        A task failed, and `on_error` is "raise"; or a worker process was killed (dask runs its tasks again, and gives up one of
        which several workers died).

    Warns
    -----
    ConvergenceWarning
        One for all tasks whose solution missed `tol`, with the first of them; each solution states its true gap.

    Examples
    --------
    >>> import dualib
    >>> problems = [dualib.datasets.toy(), dualib.datasets.erasure(0.3)]
    >>> results = dualib.solve_many(problems, [2.0, 8.0, 20.0], distortions=["ib", "dualib"])
    >>> results.shape, results[0, 1, 2].n_clusters
    ((2, 2, 3), 3)
    """
    settings = _settings(solve, "solve_many", options)
    check_options(settings["tol"], **{name: settings[name] for name in ("n_clusters", "n_restarts", "max_iter")})
    grid = Grid(problem_axis(problems), distortion_axis(distortions), seed_axis(seeds), beta_axis(betas))
    grid.check(settings["init"], certify=bool(settings["certify"]))
    return _run("solve", _solve, grid, options, pool_of(n_jobs, backend), on_error, progress)


@door
def anneal_many(
    problems: JointDistribution | Iterable[JointDistribution],
    betas: npt.ArrayLike | None = None,
    *,
    distortions: str | Distortion | Iterable[str | Distortion] = "ib",
    seeds: int | Iterable[int | None] | None = None,
    n_jobs: int | None = None,
    backend: str | None = None,
    on_error: OnError = "raise",
    progress: Progress = False,
    **options: Any,
) -> Any:
    """Solve the whole path over beta for every combination of problem, distortion and seed, on one core or many.

    The results do not depend on `n_jobs` and `backend`: each is ``anneal(problem, distortion, betas, random_state=seed,
    **options)`` with one BLAS thread, bit for bit.

    Parameters
    ----------
    problems, distortions, seeds, n_jobs, backend, on_error, progress
        As of `solve_many`; a step of the progress is a whole path.
    betas : array_like, shape (m,), optional
        The trade-offs of every path; None: an adaptive grid for each.
    **options
        `beta_min`, `beta_max`, `tol`, `tol_curve`, `events`, `direction`, `max_iter`, `alpha`, `n_clusters`, as of `anneal`, the
        same for all.

    Returns
    -------
    ndarray of Curve (dtype object), or Curve
        One axis for each of `problems`, `distortions` and `seeds` that is a sequence, in this order; none for one that is a single
        value. A Curve where all three are single.

    Raises
    ------
    ValueError, TypeError, MemoryError, ImportError, TaskError
        As `solve_many`.

    Warns
    -----
    ConvergenceWarning
        One for all paths with a point that missed `tol`, with the first of them.

    Examples
    --------
    >>> import dualib
    >>> ib, dual = dualib.anneal_many(dualib.datasets.toy(), [2.0, 8.0], distortions=["ib", "dualib"])
    >>> ib.distortion.name, dual.distortion.name, len(dual)
    ('ib', 'dualib', 2)
    """
    settings = _settings(anneal, "anneal_many", options)
    ends = settings.pop("beta_min"), settings.pop("beta_max")
    path = check_path(betas, *ends, **settings)
    grid = Grid(
        problem_axis(problems), distortion_axis(distortions), seed_axis(seeds), Axis("betas", [path["betas"]], single=True)
    )
    grid.check(None, certify=True)
    return _run("anneal", _anneal, grid, options, pool_of(n_jobs, backend), on_error, progress)


def _settings(call: Callable[..., Any], name: str, options: dict[str, Any]) -> dict[str, Any]:
    """The keyword options of `call`, those given and the defaults."""
    parameters = inspect.signature(call).parameters.values()
    known = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in (*_INSTEAD, "progress")}
    for key in options:
        if key not in known:
            raise TypeError(f"{name}: unknown option {key!r}: " + _INSTEAD.get(key, "choose from " + ", ".join(known)))
    return {**known, **options}


# -- the work ----------------------------------------------------------------------------------------------------------


def _solve(
    joint: JointDistribution, distortion: Distortion, seed: int | None, beta: float, options: dict[str, Any]
) -> Solution:
    return solve(joint, beta, distortion, random_state=seed, **options)


def _anneal(joint: JointDistribution, distortion: Distortion, seed: int | None, betas: Any, options: dict[str, Any]) -> Curve:
    return anneal(joint, distortion, betas, random_state=seed, **options)


def _run(
    label: str, call: Callable[..., Any], grid: Grid, options: dict[str, Any], pool: Any, on_error: str, progress: Progress
) -> Any:
    validate_choice("on_error", on_error, ("raise", "return"))
    positions = list(grid.positions())
    results = np.empty(len(positions), dtype=object)  # flat: only so is a Curve, itself a sequence, taken for one object
    missed: list[str] = []
    report = reporter(progress, label)
    report.expect(len(positions))
    tasks = [(*grid.values(position), options) for position in positions]
    with report, contextlib.closing(in_order(pool, call, tasks)) as outcomes:
        for i, position in enumerate(positions):
            outcome = _next(outcomes, i, results.reshape(grid.shape))
            if outcome.failure is None:
                results[i] = _attached(outcome.value, *grid.values(position)[:2])
            else:
                results[i] = _task_error(outcome.failure, grid, position)
            if on_error == "raise" and outcome.failure is not None:
                error, results[i] = results[i], None
                error.results = results.reshape(grid.shape)
                raise error
            missed += [f"{grid.place(position)}: {message}" for message in outcome.messages[:1]]
            report.step()
    if missed:
        warn_of_convergence(f"{len(missed)} of {len(positions)} tasks missed tol, the first {missed[0]}", stacklevel=4)
    return results.reshape(grid.shape) if grid.shape else results[0]


def _next(outcomes: Iterator[Outcome], done: int, results: npt.NDArray[np.object_]) -> Outcome:
    """The next outcome; a TaskError where none can come, because a worker was killed or a task cannot be sent to it."""
    try:
        return next(outcomes)
    except Exception as error:
        failed = TaskError(f"the workers failed after {done} of {results.size} results: {type(error).__name__}: {error}")
        failed.kind, failed.results = type(error).__name__, results
        raise failed from error


def _task_error(failure: Failure, grid: Grid, position: tuple[int, ...]) -> TaskError:
    error = TaskError(f"{grid.place(position)}: {failure.kind}: {failure.message}")
    error.index, error.kind, error.trace = grid.index(position), failure.kind, failure.trace
    error.__cause__ = failure.error
    return error


def _attached(result: Solution | Curve, joint: JointDistribution, distortion: Distortion) -> Solution | Curve:
    """The same result, with the problem and the distortion that were given in the place of the copies of another process."""
    if result.joint is joint:
        return result
    solutions = [result] if isinstance(result, Solution) else [*result.solutions]
    if isinstance(result, Curve):
        vars(result).update(joint=joint, distortion=distortion)
        solutions += [side for event in result.events for side in (event.below, event.above) if side is not None]
    for solution in solutions:
        vars(solution).update(joint=joint, distortion=distortion)
    return result
