"""The points of a curve under a cap on the clusters, or at alpha below 1: each as good as its neighbours' clusters make it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dualib.clusters.bound import Floor, floor_of, known_floors
from dualib.distortions.interface import Array
from dualib.engine.batch import Batch
from dualib.engine.initial import of_atoms
from dualib.engine.optimum import Optimum, optimum
from dualib.engine.problem import Problem
from dualib.path.points import at_once, exchange
from dualib.progress import Reporter
from dualib.results.assembly import judged, solutions_of
from dualib.results.solution import Solution
from dualib.solving.clustered import Task, clustered

RESTARTS = 5  # of the search at each beta, beside the neighbour's clusters
POINTS, BELOW, ABOVE = 24, 0.8, 64.0  # of a curve without betas: how many, and its ends in units of the onset
_RISE = 1e-12  # of an objective, relative to 1 + |L|: rounding


def clustered_curve(
    problem: Problem,
    alpha: float,
    n_clusters: int | None,
    betas: Sequence[float],
    *,
    tol: float,
    max_iter: int,
    rising: bool,
    seed: int,
    report: Reporter,
) -> list[Solution]:
    """The solutions at `betas`, in that order of work or the other way round, then as long as a neighbour's encoder is better.

    Then ``H(T) - alpha H(T|X) + beta E d`` is nowhere less with a neighbour's encoder, both ways, from which it follows that E d
    does not rise with beta: the IB loses no relevance. Of a problem that is kept sparse for a cap the optimum without one is not
    computed.
    """
    found: dict[float, Solution] = {}
    order = sorted(betas, reverse=not rising)
    report.expect(len(order))
    free: dict[float, Optimum] = {}
    if not (problem.is_sparse and n_clusters is not None):
        free = _free(problem, order, tol, max_iter, seed)
    floors = [*known_floors(problem), *map(floor_of, free.values())] if free else None
    last: list[Batch] = []
    for number, beta in enumerate(order):
        rng = np.random.default_rng([seed, 1, number])
        task = Task(problem, beta, alpha, n_clusters, RESTARTS, True, tol, max_iter, rng)
        found[beta] = _solution(task, free.get(beta), last, floors)
        last = [_start(problem, found[beta])]
        report.step()

    def anew(of: float, at: float) -> bool:
        own, other = found[at], found[of]
        if not other.complexity + at * other.expected_distortion < own.objective - _RISE * (1.0 + abs(own.objective)):
            return False
        task = Task(problem, at, alpha, n_clusters, 0, True, tol, max_iter, rng)
        new = _solution(task, free.get(at), [_start(problem, other)], floors)
        if new.objective < own.objective:
            found[at] = new
        return found[at] is new

    exchange(sorted(found), anew)
    return [found[beta] for beta in sorted(found)]


def _free(problem: Problem, betas: Sequence[float], tol: float, max_iter: int, seed: int) -> dict[float, Optimum]:
    """The certified optima without a cap, at alpha = 1."""
    found, size = {}, at_once(problem)
    for number, first in enumerate(range(0, len(betas), size)):
        some = np.array(betas[first : first + size])
        ends = optimum(problem, some, tol=tol, most=max_iter, rng=np.random.default_rng([seed, 0, number]))
        found.update({float(beta): ends.one(i) for i, beta in enumerate(some)})
    return found


def _solution(task: Task, free: Optimum | None, starts: list[Batch], floors: Sequence[Floor] | None) -> Solution:
    if task.alpha == 1.0 and free is not None and task.n_clusters is not None and len(free.batch.weights) <= task.n_clusters:
        return solutions_of(task.problem, free.batch, free.sweep, judged(free), task.tol)[0]
    return clustered(task, free, starts, floors)


def _start(problem: Problem, solution: Solution) -> Batch:
    """The clusters of a solution as a start."""
    return of_atoms(problem, [solution.beta], np.array(solution.weights), np.array(solution.means), np.array(solution.decoder))


def grid_around(onset: float, low: float | None, high: float | None) -> Array:
    """The betas of a curve where none are given."""
    scale = onset if 0.0 < onset < np.inf else 1.0
    low = (BELOW * scale if high is None else min(BELOW * scale, 0.5 * high)) if low is None else low
    return np.geomspace(low, max(ABOVE * scale, 2.0 * low) if high is None else high, POINTS)
