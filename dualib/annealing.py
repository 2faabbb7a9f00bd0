"""The path over beta: `anneal`.

Certified points first, each followed from its neighbour, downward by default; then between each two of them the events, located by
`dualib.events`; then further points where the curve bends, or where the enclosure of the objective is wider than wanted.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from dualib._validation import as_float_array, shown, validate_beta
from dualib.checkpoint import recorded, recorded_batches
from dualib.critical import certified_onset
from dualib.distortions import Array, Distortion, as_distortion
from dualib.enclosure import Enclosure
from dualib.engine.onset import onset as onset_of_problem
from dualib.engine.problem import Problem as EngineProblem
from dualib.engine.rounding import check_beta
from dualib.events import bracketed, events_between
from dualib.gap import provable
from dualib.grid_path import GridPath
from dualib.memory import check_solvable
from dualib.path import Path, can_follow
from dualib.progress import Progress, Reporter, reporter
from dualib.results import Curve, Event
from dualib.solver import check_options
from dualib.sparse_path import anneal_sparse
from dualib.sparse_problem import SparseProblem, dense_problem, engine_problem, stays_sparse
from dualib.threads import one_blas_thread

if TYPE_CHECKING:
    from dualib.joint import JointDistribution

Insert = Callable[[list[tuple[float, float]]], None]
_LARGEST_BETA = 1e4
_SATURATED = 1e-3  # the grid ends where all but this part of I(X;Y) is kept
_COARSE_POINTS = 16
_LARGEST_STEP = 0.04  # in rate and relevance, relative to their ranges, between neighbours of the adaptive grid
_MOST_POINTS = 120
_MOST_FOR_ENCLOSURE = 4_000


@one_blas_thread
def anneal(
    joint: JointDistribution,
    distortion: str | Distortion = "ib",
    betas: npt.ArrayLike | None = None,
    *,
    beta_min: float | None = None,
    beta_max: float | None = None,
    tol: float = 1e-9,
    tol_curve: float | None = None,
    events: bool = True,
    direction: Literal["down", "up"] = "down",
    max_iter: int = 20_000,
    progress: Progress = False,
    random_state: int | np.random.Generator | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    n_clusters: int | None = None,
) -> Curve:
    """Solve the whole path over beta, every point certified.

    Parameters
    ----------
    joint : JointDistribution
    distortion : "ib", "dualib" or Distortion
    betas : array_like, shape (m,), optional
        The trade-offs to solve, in any order; the curve holds each of them once. None: an adaptive grid, logarithmic and refined
        where rate or relevance change most, from below the onset to where the curve saturates.
    beta_min, beta_max : float, optional
        Ends of the adaptive grid, in place of the automatic ones.
    tol : float
        Wanted gap at every point, nats.
    tol_curve : float, optional
        Add points until the enclosure of the optimal objective (`Curve.objective_bounds`) is nowhere wider than this, nats.
    events : bool
        Locate every bifurcation between the points by root finding. False saves the time; the curve then has the events
        that its own points bracket, and, of given betas, an onset that is computed when asked for.
    direction : "down" or "up"
        From large beta to small (the default, the better one: clusters merge) or from small to large.
    max_iter : int
        Cap on the sweeps at each beta.
    progress : bool or callable
        True: a progress line on stderr. A callable is called as ``progress(done, total)``.
    random_state : int, Generator or None
        Seed of the search; None is a fixed seed.
    checkpoint : path-like, optional
        A file that holds the path so far, written after every point: after an interruption of any kind the same call goes on from
        it, to a result that is the same bit for bit. It stays when the path is done; delete it when it is of no more use.
    n_clusters : int, optional
        Cap on the clusters at each beta, for a large sparse p(x, y) of the IB only (see Notes).

    Returns
    -------
    Curve
        Ascending in beta.

    Raises
    ------
    ValueError, TypeError
        A bad argument, named with its value; a checkpoint of another problem, distortion, version or other arguments.
    OSError
        The checkpoint cannot be read or written; the last one that was written is intact.

    Warns
    -----
    ConvergenceWarning
        At some beta `tol` was not reached; each solution states its true gap.

    Notes
    -----
    A sparse p(x, y) of the IB stays sparse where it has more than 10 million cells, or more than 100,000 and `n_clusters` is given.
    It takes `betas` and ``events=False``, no `tol_curve` and no `checkpoint`; the curve has no onset. Each point is solved from its
    neighbour and fresh starts, and its gap is of the kind "multistart", to the optimum without a cap, as of `solve`.
    """
    rules: dict[str, Any] = {
        "tol": tol,
        "events": events,
        "direction": direction,
        "max_iter": max_iter,
        "n_clusters": n_clusters,
    }
    if stays_sparse(joint, as_distortion(distortion), n_clusters):
        check_path(None, None, None, tol_curve=None, **rules)
        ends = {"beta_min": beta_min, "beta_max": beta_max, "tol_curve": tol_curve, "checkpoint": checkpoint}
        return anneal_sparse(
            SparseProblem(joint),
            _sparse_grid(betas, events, ends),
            n_clusters,
            tol=tol,
            max_iter=max_iter,
            direction=direction,
            rng=np.random.default_rng(0 if random_state is None else random_state),
            report=reporter(progress, "anneal"),
        )
    grid = check_path(betas, beta_min, beta_max, tol_curve=tol_curve, **rules)
    width = None if tol_curve is None else float(tol_curve)
    if not events:
        fixed = {"tol": tol, "tol_curve": width, "events": False, "direction": direction, "max_iter": max_iter}
        rng = np.random.default_rng(0 if random_state is None else random_state)
        return _without_events(joint, as_distortion(distortion), grid, fixed, rng, progress, checkpoint)
    problem = dense_problem(joint, as_distortion(distortion), "anneal")
    check_solvable(problem)
    rng = np.random.default_rng(0 if random_state is None else random_state)
    path = Path(problem, tol, max_iter, rng)
    if checkpoint is not None:
        options = {"tol": tol, "tol_curve": width, "events": bool(events), "direction": direction, "max_iter": max_iter}
        path = recorded(path, checkpoint, {**grid, **options})
    report = reporter(progress, "anneal")
    first, single = certified_onset(problem, rng)
    if single is not None and single.gap <= tol and not provable(problem):  # else the gap below can be proved
        path.single = path.sure = single
    insert = functools.partial(_insert, path, report)
    if grid["betas"] is not None:
        _solve_all(path, grid["betas"], direction, report)
    else:
        low, high = _ends(joint, functools.partial(_relevance, path), first, grid["beta_min"], grid["beta_max"])
        _solve_all(path, np.geomspace(low, high, _COARSE_POINTS).tolist(), direction, report)
        _refine_shape(path, insert)
    if width is not None:
        _refine_enclosure(path, width, insert)
    found = _all_events(path, report)
    report.close()
    path.warn()
    return Curve(path.solutions(path.points()), events=found, onset=first)


def _without_events(
    joint: JointDistribution,
    distortion: Distortion,
    grid: dict[str, Any],
    fixed: dict[str, Any],
    rng: np.random.Generator,
    progress: Progress,
    checkpoint: str | os.PathLike[str] | None,
) -> Curve:
    """The curve of points alone, by the engine; `grid` and `fixed` are all arguments that its course depends on."""
    problem = engine_problem(joint, distortion, "anneal")
    check_solvable(problem)
    for name in ("betas", "beta_min", "beta_max"):
        check_beta(problem, max(np.atleast_1d(grid[name] or 0.0)), name)
    record = None if checkpoint is None else recorded_batches(problem, checkpoint, rng, {**grid, **fixed})
    width = fixed["tol_curve"]
    report = reporter(progress, "anneal")
    path = GridPath(problem, fixed["tol"], fixed["max_iter"], rng, report, record)
    first: float | Callable[[], float] = functools.partial(_onset, problem)
    if grid["betas"] is not None:
        path.solve(grid["betas"])
    else:
        first = _onset(problem)
        low, high = _ends(joint, path.relevance, first, grid["beta_min"], grid["beta_max"])
        path.solve(np.geomspace(low, high, _COARSE_POINTS).tolist())
        _refine_shape(path, lambda wanted: path.solve(_middles(wanted)))
    if width is not None:
        _refine_enclosure(path, width, lambda wanted: path.solve(_middles(wanted)))
    report.close()
    path.warn()
    return Curve(path.solutions(path.points()), events=path.events, onset=first)


def _middles(intervals: list[tuple[float, float]]) -> list[float]:
    return [math.sqrt(low * high) for low, high in intervals]


@one_blas_thread
def _onset(problem: EngineProblem) -> float:
    return onset_of_problem(problem, np.random.default_rng(0))


def _solve_all(path: Path, betas: list[float], direction: str, report: Reporter) -> None:
    """Solve each beta not solved yet, in the given direction, each from the one before, along the path."""
    wanted = sorted(set(betas) - path.outcomes.keys(), reverse=direction == "down")
    report.expect(len(wanted))
    start = None
    for beta in wanted:
        path.solve(beta, start)
        report.step()
        start = beta


def _relevance(path: Path, beta: float) -> float:
    """The relevance at a beta that need not be a point of the path."""
    path.solve(beta)
    relevance = path.solution(beta).relevance
    path.discard(beta)
    return relevance


def _insert(path: Path, report: Reporter, wanted: list[tuple[float, float]]) -> None:
    """Solve the geometric middle of each interval, from its upper end."""
    report.expect(len(wanted))
    for low, high in sorted(wanted, reverse=True):
        path.solve(math.sqrt(low * high), high)
        report.step()


def _refine_shape(path: Path | GridPath, insert: Insert) -> None:
    """Add the middle of intervals across which rate or relevance change too much, widest change first."""
    while len(path.points()) < _MOST_POINTS:
        betas = path.points()
        solutions = path.solutions(betas)
        rate, relevance = (np.array([getattr(solution, name) for solution in solutions]) for name in ("rate", "relevance"))
        step = np.maximum(_relative_steps(rate), _relative_steps(relevance))
        step[np.diff(np.log(betas)) < 1e-2] = 0.0  # a jump stays a jump however close the grid
        wide = np.argsort(-step, kind="stable")[: _MOST_POINTS - len(betas)]
        wide = wide[step[wide] > _LARGEST_STEP]
        if not len(wide):
            break
        insert([(betas[i], betas[i + 1]) for i in wide])


def _refine_enclosure(path: Path | GridPath, width: float, insert: Insert) -> None:
    """Add the middle of intervals inside which the enclosure of the objective is wider than `width`."""
    while len(path.points()) < _MOST_FOR_ENCLOSURE:
        betas = path.points()
        gaps = Enclosure.of(path.solutions(betas)).widths()
        gaps[np.diff(np.log(betas)) < 1e-9] = 0.0
        wide = np.flatnonzero(gaps > width)
        if not len(wide):
            break
        insert([(betas[i], betas[i + 1]) for i in wide])


def _relative_steps(values: Array) -> Array:
    span = np.ptp(values)
    return np.abs(np.diff(values)) / span if span > 0.0 else np.zeros(len(values) - 1)


def _all_events(path: Path, report: Reporter) -> list[Event]:
    """The events between all neighbouring points, from large beta to small; on large problems only bracketed."""
    if not can_follow(path):
        return _grid_events(path)
    betas, found = path.points(), []
    report.expect(len(betas) - 1)
    for i in range(len(betas) - 1, 0, -1):
        found += events_between(path, betas[i - 1], betas[i])
        report.step()
    for beta in set(path.outcomes) - set(betas):
        path.discard(beta)
    return sorted(found, key=lambda event: event.beta)


def _grid_events(path: Path) -> list[Event]:
    """Changes of the number of clusters between neighbouring points: bracketed by the grid, not located."""
    betas = path.points()
    path.solutions(betas)  # at once
    counts = [len(path.outcomes[beta].state.atoms) for beta in betas]
    return [bracketed(path, betas[i], betas[i + 1]) for i in range(len(betas) - 1) if counts[i] != counts[i + 1]]


def _check_width(tol_curve: float, tol: float) -> None:
    if isinstance(tol_curve, (bool, np.bool_)) or not isinstance(tol_curve, (int, float, np.integer, np.floating)):
        raise TypeError(f"tol_curve must be a number, got {shown(tol_curve)}")
    if not 10.0 * tol <= tol_curve < math.inf:
        raise ValueError(f"tol_curve must be finite and at least 10 tol = {10.0 * tol:g}, got {shown(tol_curve)}")


def _ends(
    joint: JointDistribution,
    relevance: Callable[[float], float],
    first: float,
    beta_min: float | None,
    beta_max: float | None,
) -> tuple[float, float]:
    """The ends of the adaptive grid, those not given below the onset and where the relevance saturates."""
    low, high = beta_min, beta_max
    scale = first if 0.0 < first < math.inf else 1.0
    if low is None:
        low = 0.8 * scale if high is None else min(0.8 * scale, 0.5 * high)
    if high is None:
        high = _saturation(joint, relevance, 4.0 * max(scale, low)) if math.isfinite(first) else 4.0 * max(scale, low)
    return low, max(high, 1.25 * low)


def _saturation(joint: JointDistribution, relevance: Callable[[float], float], beta: float) -> float:
    """The first beta, by doubling, at which all but a thousandth of I(X;Y) is kept."""
    total = joint.mutual_information
    while beta < _LARGEST_BETA and relevance(beta) < (1.0 - _SATURATED) * total:
        beta *= 2.0
    return min(beta, _LARGEST_BETA)


def check_path(
    betas: npt.ArrayLike | None,
    beta_min: float | None,
    beta_max: float | None,
    *,
    tol: float,
    tol_curve: float | None,
    events: bool,
    direction: str,
    max_iter: int,
    n_clusters: int | None = None,
) -> dict[str, Any]:
    """Check the arguments of `anneal` that no problem is needed for; returns those that fix the grid, by name."""
    if direction not in ("down", "up"):
        raise ValueError(f"direction must be 'down' or 'up', got {shown(direction)}")
    if not isinstance(events, (bool, np.bool_)):
        raise TypeError(f"events must be a bool, got {shown(events)}")
    check_options(tol, max_iter=max_iter, n_clusters=n_clusters)
    if tol_curve is not None:
        _check_width(tol_curve, tol)
    low = None if beta_min is None else validate_beta(beta_min, "beta_min")
    high = None if beta_max is None else validate_beta(beta_max, "beta_max")
    if betas is not None and not (low is None and high is None):
        raise ValueError("betas fixes the grid: give either betas or beta_min and beta_max, not both")
    if low is not None and high is not None and low >= high:
        raise ValueError(f"beta_min must be below beta_max, got {shown(low)} and {shown(high)}")
    return {"betas": None if betas is None else sorted(set(_checked_betas(betas))), "beta_min": low, "beta_max": high}


def _sparse_grid(betas: npt.ArrayLike | None, events: bool, others: dict[str, Any]) -> list[float]:
    """The betas of a path on a sparse problem; what it cannot do is refused."""
    what = "for a sparse p(x, y) that is kept sparse"
    if betas is None:
        raise ValueError(f"betas must be given {what}: its onset is not computed, got None")
    if events:
        raise ValueError(f"events must be False {what}: events are not located on it, got {shown(events)}")
    for name, value in others.items():
        if value is not None:
            raise ValueError(f"{name} must be None {what}, got {shown(value)}")
    return sorted(set(_checked_betas(betas)))


def _checked_betas(betas: npt.ArrayLike) -> list[float]:
    values: list[float] = as_float_array("betas", betas, 1).tolist()
    return [value if 0.0 < value < math.inf else validate_beta(value, "betas") for value in values]
