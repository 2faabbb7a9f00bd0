"""The path over beta: `anneal`.

Certified points first, all betas of a chunk at once; then further points where the curve bends, or where the enclosure of the
objective is wider than wanted; then the events between them, located by `dualib.path.events`.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from dualib._validation import as_float_array, random_generator, shown, validate_alpha, validate_beta
from dualib.distortions.interface import Distortion
from dualib.distortions.named import as_distortion
from dualib.doors import door
from dualib.engine.choice import problem_of
from dualib.engine.problem import Problem
from dualib.engine.rounding import check_beta
from dualib.engine.sizes import check_solvable, check_sparse_fits
from dualib.path.checkpoint import Checkpoint, identity_of
from dualib.path.clustered import clustered_curve, grid_around
from dualib.path.grid import COARSE_POINTS, MOST_CLUSTERS, all_around, refine_enclosure, refine_shape
from dualib.path.large import LargePoints
from dualib.path.onset import onset_of
from dualib.path.points import Points
from dualib.path.public import bracketed_events, located_events
from dualib.progress import Progress, Reporter, reporter
from dualib.results.curve import Curve
from dualib.solving.solver import check_options, warn_unless_converged
from dualib.threads import one_blas_thread

if TYPE_CHECKING:
    from dualib.joint import JointDistribution


@door
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
    alpha: float = 1.0,
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
        that its own points bracket. Of given betas the onset is the first event's, where that is located and one cluster
        before it; else it is computed when asked for.
    direction : "down" or "up"
        Whether the points are solved from large beta to small or the other way round: each is the optimum in either case.
    max_iter : int
        Cap on the sweeps at each beta.
    progress : bool or callable
        True: a progress line on stderr. A callable is called as ``progress(done, total)``.
    random_state : int, Generator or None
        Seed of the search; None is a fixed seed.
    checkpoint : path-like, optional
        A file that holds the path so far, written after every few points: after an interruption of any kind the same call goes
        on from it, to a result that is the same bit for bit. It stays when the path is done; delete it when it is of no more use.
    alpha : float
        Price of randomness, from 0 to 1, as of `solve`: 1 is the Information Bottleneck, or another of its kind, 0 the deterministic
        one.
    n_clusters : int, optional
        Cap on the clusters at each beta, as of `solve`.

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
    DualibWarning
        The adaptive grid of a large sparse p(x, y) ended before saturation, see Notes.

    Notes
    -----
    With `n_clusters`, or alpha below 1, each point is the best that restarts and its neighbours' clusters led to, bounded as by
    `solve`. `betas` is the grid; without it there are 24 from 0.8 to 64 times the onset, equally spaced in the logarithm. The curve
    has neither events nor an onset (its `n_clusters` at each beta is the record), and takes no `tol_curve` and no `checkpoint`.
    Along rising beta its expected distortion never rises: by the IB, no relevance is lost.

    A sparse p(x, y) of the IB with more than 100,000 cells stays sparse; gaps are of the kind "multistart", and no encoder is better
    at a neighbouring beta than the one there. Without `beta_max` its adaptive grid ends at the first beta of 32 clusters, with a
    warning, where that comes before saturation; from there on `n_clusters` keeps a curve affordable. Where the clusters
    times the nonzeros are more than 100 million its events are only bracketed, as they are in large dense problems.

    Examples
    --------
    >>> import dualib
    >>> curve = dualib.anneal(dualib.datasets.toy(), "dualib", beta_min=2.0, beta_max=64.0)
    >>> round(curve.onset, 6), [round(event.beta, 4) for event in curve.events]
    (3.223708, [3.2237, 11.8104, 26.6843, 42.1964])
    >>> bool(curve.gap.max() < 1e-9)
    True
    """
    rules: dict[str, Any] = {
        "tol": tol,
        "events": events,
        "direction": direction,
        "max_iter": max_iter,
        "alpha": alpha,
        "n_clusters": n_clusters,
    }
    clustered = n_clusters is not None or validate_alpha(alpha) < 1.0
    report = reporter(progress, "anneal")
    grid = check_path(betas, beta_min, beta_max, tol_curve=tol_curve, **rules)
    width = None if tol_curve is None else float(tol_curve)
    problem = problem_of(joint, as_distortion(distortion), n_clusters, caller="anneal")
    check_solvable(problem)
    if problem.is_sparse:
        _check_sparse_fits(problem, grid["betas"], n_clusters)
    for name in ("betas", "beta_min", "beta_max"):
        check_beta(problem, max(np.atleast_1d(grid[name] or 0.0)), name)
    if clustered:
        _refuse_with_clusters(tol_curve=tol_curve, checkpoint=checkpoint)
        wanted = grid["betas"]
        if wanted is None:
            wanted = grid_around(_onset(problem), grid["beta_min"], grid["beta_max"]).tolist()
        return _anneal_clustered(
            problem, wanted, tol, max_iter, direction == "up", random_state, report, alpha=alpha, n_clusters=n_clusters
        )
    rng = random_generator(random_state)
    record = None
    if checkpoint is not None:
        options = {"tol": tol, "tol_curve": width, "events": bool(events), "direction": direction, "max_iter": max_iter}
        record = Checkpoint(checkpoint, identity_of(joint, problem.distortion, rng, {**grid, **options}))
    kind = LargePoints if problem.is_sparse else Points
    points = kind(problem, tol, max_iter, int(rng.integers(2**62)), report, record)
    first: float | Callable[[], float]
    rising = direction == "up"
    if grid["betas"] is not None:
        first = functools.partial(_onset, problem)
        points.solve(grid["betas"], rising=rising)
    else:
        first = _onset(problem)
        points.solve(all_around(points, first, grid["beta_min"], grid["beta_max"]), rising=rising)
        refine_shape(points)
    if width is not None:
        refine_enclosure(points, width)
    located = located_events(points) if events else []
    report.close()
    if grid["betas"] is not None and located and located[0].located and located[0].before == 1:
        first = located[0].beta
    solutions = points.solutions()
    for solution in solutions:
        warn_unless_converged(solution, tol, stacklevel=4)
    found = located if events else functools.partial(one_blas_thread(bracketed_events), points)
    return Curve(solutions, events=found, onset=first)


@one_blas_thread
def _onset(problem: Problem) -> float:
    return onset_of(problem, np.random.default_rng(0))


def _anneal_clustered(
    problem: Problem,
    betas: list[float],
    tol: float,
    max_iter: int,
    rising: bool,
    random_state: int | np.random.Generator | None,
    report: Reporter,
    *,
    alpha: float,
    n_clusters: int | None,
) -> Curve:
    """The curve with a cap on the clusters, or of alpha below 1."""
    check_beta(problem, max(betas), "betas")
    rng = random_generator(random_state)
    options: dict[str, Any] = {"tol": tol, "max_iter": max_iter, "rising": rising, "report": report}
    solutions = clustered_curve(problem, float(alpha), n_clusters, betas, seed=int(rng.integers(2**62)), **options)
    report.close()
    for solution in solutions:
        warn_unless_converged(solution, tol, stacklevel=5)
    return Curve(solutions)


def _refuse_with_clusters(**others: Any) -> None:
    for name, value in others.items():
        if value is not None:
            raise ValueError(f"{name} must be None with n_clusters, or alpha below 1, got {shown(value)}")


def _check_sparse_fits(problem: Problem, betas: list[float] | None, n_clusters: int | None) -> None:
    """Refuse a sparse problem whose curve cannot fit into memory: at the betas given, or at the first of an adaptive grid."""
    some = MOST_CLUSTERS if n_clusters is None and betas is None else 1 if n_clusters is None else min(problem.n, n_clusters)
    check_sparse_fits(problem.joint, some, points=COARSE_POINTS if betas is None else len(betas))


def _check_width(tol_curve: float, tol: float) -> None:
    if isinstance(tol_curve, (bool, np.bool_)) or not isinstance(tol_curve, (int, float, np.integer, np.floating)):
        raise TypeError(f"tol_curve must be a number, got {shown(tol_curve)}")
    if not 10.0 * tol <= tol_curve < math.inf:
        raise ValueError(f"tol_curve must be finite and at least 10 tol = {10.0 * tol:g}, got {shown(tol_curve)}")


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
    alpha: float = 1.0,
    n_clusters: int | None = None,
) -> dict[str, Any]:
    """Check the arguments of `anneal` that no problem is needed for; returns those that fix the grid, by name."""
    if direction not in ("down", "up"):
        raise ValueError(f"direction must be 'down' or 'up', got {shown(direction)}")
    if not isinstance(events, (bool, np.bool_)):
        raise TypeError(f"events must be a bool, got {shown(events)}")
    validate_alpha(alpha)
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


def _checked_betas(betas: npt.ArrayLike) -> list[float]:
    values: list[float] = as_float_array("betas", betas, 1).tolist()
    return [value if 0.0 < value < math.inf else validate_beta(value, "betas") for value in values]
