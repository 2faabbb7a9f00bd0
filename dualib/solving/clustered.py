"""The best solution found under a cap on the clusters, or at alpha below 1, and how far it can be from the best there is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from dualib.clusters.alpha import GLANCE, State, at_rest, best_state
from dualib.clusters.bound import Floor, floor_of, found_floors, known_floors, least_objective, most_relevance_of
from dualib.clusters.capped import batch_of_labels, capped, likeliest, softened
from dualib.clusters.hard import hard_clusters
from dualib.clusters.intervals import best_priced_intervals, exact
from dualib.clusters.merging import merged_down
from dualib.clusters.search import HardSearch, search_free, search_hard
from dualib.clusters.seeds import canonical
from dualib.engine.batch import Batch, moved
from dualib.engine.descent import descend, lowest
from dualib.engine.initial import feasible, rough
from dualib.engine.optimum import Optimum, goal_of
from dualib.engine.optimum import certify as certified_optimum
from dualib.engine.problem import Ints, Problem
from dualib.engine.sweep import Sweep
from dualib.results.alone import hard_posterior, solution_alone
from dualib.results.assembly import Judged, solutions_of, status_of
from dualib.results.solution import Solution
from dualib.results.status import Status

_MOST_EXACT = 3_000  # sources of two y whose hard clusters are found by dynamic programming over all their pairs
_SOFTENED = 8  # hard clusterings that are softened to an alpha


class Task(NamedTuple):
    """What is asked: the arguments of `solve` that bear on it; `n_clusters` None for any number."""

    problem: Problem
    beta: float
    alpha: float
    n_clusters: int | None
    n_restarts: int
    certify: bool
    tol: float
    max_iter: int
    rng: np.random.Generator

    @property
    def options(self) -> dict[str, Any]:
        """As `capped` takes them."""
        return {"tol": self.tol, "max_iter": self.max_iter, "rng": self.rng}


def clustered(task: Task, free: Optimum | None, starts: Sequence[Batch], floors: Sequence[Floor] | None = None) -> Solution:
    """The best solution found, never above a feasible one of `starts` within the cap (one solution each).

    Parameters
    ----------
    task : Task
    free : Optimum or None
        The certified optimum at alpha = 1 without a cap, where it was computed.
    starts : sequence of Batch
    floors : sequence of Floor, optional
        What bounds F at this and smaller betas, where that is known; else it is found as far as `free` allows.
    """
    problem = task.problem
    starts = [moved(start, task.beta) for start in starts if feasible(problem, start).all()]
    within = [start for start in (_within(task, start, None) for start in starts) if start is not None]
    if free is not None:
        merged = _within(task, free.batch, free.sweep)
        within = within if merged is None else [merged, *within]
    return _at_alpha_1(task, free, within, floors) if task.alpha == 1.0 else _below_1(task, free, within, floors)


def _within(task: Task, start: Batch, sweep: Sweep | None) -> Batch | None:
    """A start with no more clusters than there may be, merged where it has more; None where that cannot be."""
    if task.n_clusters is None or len(start.weights) <= task.n_clusters:
        return start
    return merged_down(task.problem, start, sweep or Sweep(task.problem, start), task.n_clusters)


def _at_alpha_1(task: Task, free: Optimum | None, starts: list[Batch], floors: Sequence[Floor] | None) -> Solution:
    problem, beta, n_clusters = task.problem, task.beta, task.n_clusters
    assert n_clusters is not None
    got = capped(problem, beta, n_clusters, starts, task.n_restarts, **task.options)
    batch, sweep, taken = got.ended.batch, got.ended.sweep, got.ended.taken
    fewest = None if free is None else float(free.sweep.objective[0])
    restarts = got.restarts
    if task.certify and free is None:  # a large problem, made for this cap: its optimum without one would be dear
        del got  # its posterior is large
        found = certified_optimum(problem, batch, tol=task.tol, most=task.max_iter, coarse=False, rng=task.rng)
        batch, sweep, taken = found.batch, found.sweep, taken + found.taken
        floors = [*known_floors(problem), floor_of(found)]
        fewest = float(sweep.objective[0]) if found.gap[0] <= task.tol else None
        restarts = (float(sweep.objective[0]), *restarts[1:])
    elif free is not None:
        taken = taken + free.taken
    objective = float(sweep.objective[0])
    floors = _floors(task, free, objective, floors)
    bound, kind = least_objective(problem, floors, beta, n_clusters) if task.certify else (-math.inf, None)
    # as many clusters as sources are never too few, and fewer than are allowed may be all that are wanted
    binding = free is not None or n_clusters <= len(batch.weights) < problem.n
    known = Judged(np.array([max(0.0, objective - bound)]), [kind], taken)
    beside = _beside(task, floors, objective, fewest, restarts, n_clusters)
    return solutions_of(problem, batch, sweep, known, task.tol, certified=task.certify, capped=binding, beside=beside)[0]


def _below_1(task: Task, free: Optimum | None, starts: list[Batch], floors: Sequence[Floor] | None) -> Solution:
    state, exactly, values = (
        _best_labels(task, starts) if task.alpha == 0.0 and not task.problem.fixed else _softened(task, starts)
    )
    problem, fewest = task.problem, None if free is None else float(free.sweep.objective[0])
    objective = state.value
    floors = _floors(task, free, objective, floors)
    bound, kind = least_objective(problem, floors, task.beta, task.n_clusters) if task.certify else (-math.inf, None)
    if exactly and task.certify:
        bound, kind = objective, "rigorous"
    restarts = (objective, *(max(value, objective) for value in values[1:]))
    n_clusters = len(state.batch.weights) if task.n_clusters is None else task.n_clusters
    return solution_alone(
        problem,
        state.posterior,
        state.new.means,
        state.new.face,
        beta=task.beta,
        alpha=task.alpha,
        bound=bound,
        certificate=kind,
        status=_status(task, state.residual, len(state.batch.weights)),
        n_iter=state.taken + (0 if free is None else int(free.taken[0])),
        residual=state.residual,
        beside=_beside(task, floors, objective, fewest, restarts if values else (), n_clusters),
    )


def _status(task: Task, residual: float, used: int) -> Callable[[float], Status]:
    """The status by the gap: a bound for every alpha leaves some of it at the optimum, too."""

    def status(gap: float) -> Status:
        found = status_of(residual, gap, task.tol, certified=task.certify, capped=used == task.n_clusters)
        return Status.LOCAL if found is Status.GAP_OPEN else found

    return status


def _floors(task: Task, free: Optimum | None, objective: float, floors: Sequence[Floor] | None) -> Sequence[Floor]:
    """What bounds F at this and smaller betas."""
    if floors is not None or not task.certify:
        return floors or []
    if free is None:
        return known_floors(task.problem)
    if task.n_clusters is None:
        return [*known_floors(task.problem), floor_of(free)]
    reached = (objective - math.log(task.n_clusters)) / task.beta
    return found_floors(task.problem, task.n_clusters, reached, free, tol=task.tol, max_iter=task.max_iter, rng=task.rng)


def _beside(
    task: Task, floors: Sequence[Floor], objective: float, fewest: float | None, restarts: tuple[float, ...], n_clusters: int
) -> dict[str, Any]:
    """The fields of the solution that say how it compares; `fewest` is F(beta), n_clusters the most there may be."""
    return {
        "cap_cost": None if fewest is None else max(0.0, objective - fewest),
        "relevance_bound": most_relevance_of(task.problem, floors, n_clusters),
        "restarts": restarts,
    }


def _best_labels(task: Task, starts: list[Batch]) -> tuple[State, bool, list[float]]:
    """The best hard clusters, whether they are known to be the best of all, and the objectives of the restarts."""
    problem, beta, n_clusters = task.problem, task.beta, task.n_clusters
    if exact(problem.distortion, problem.joint.n_y) and not problem.is_sparse and problem.n <= _MOST_EXACT:
        labels = best_priced_intervals(problem.distortion, problem.px, problem.py_x, 1.0 / beta, n_clusters)
        return _state_of(problem, beta, canonical(labels)), True, []
    found = _hard(task, [canonical(labels) for labels in likeliest(problem, starts)])
    if not found.labels:
        raise ValueError(f"n_clusters: no feasible clustering with {n_clusters} cluster(s) was found: supports are disjoint")
    values = sorted(beta * value for value, _ in found.rounds)
    return _state_of(problem, beta, canonical(found.labels[0])), False, values


def _hard(task: Task, known: list[Ints]) -> HardSearch:
    if task.n_clusters is None:
        return search_free(task.problem, task.beta, task.n_restarts, known, task.rng)
    return search_hard(task.problem, task.beta, task.n_clusters, task.n_restarts, known, task.rng)


def _state_of(problem: Problem, beta: float, labels: Ints) -> State:
    """Hard clusters as a state at rest."""
    batch, labels = batch_of_labels(problem, beta, [labels]), canonical(labels)
    posterior = hard_posterior(labels, len(batch.weights))
    clusters = hard_clusters(problem, 1.0 / beta, labels, len(batch.weights))
    return State(batch, posterior, beta * clusters.objective, 0.0, batch, 0)


def _softened(task: Task, starts: list[Batch]) -> tuple[State, bool, list[float]]:
    """The best clusters at an alpha between, from those of alpha = 1 and of alpha = 0; of columns that cannot move, at any alpha."""
    problem, beta, alpha = task.problem, task.beta, task.alpha
    goal, starts = goal_of(task.tol), list(starts)
    if task.n_clusters is not None:
        got = capped(problem, beta, task.n_clusters, starts, task.n_restarts, **task.options)
        labels, rounds, starts = got.labels, got.rounds, [*starts, got.ended.batch]
    else:
        if not starts:
            starts.append(lowest(descend(problem, rough(problem, [beta], task.rng), goal=goal, most=task.max_iter)).batch)
        found = HardSearch([], []) if problem.fixed else _hard(task, [canonical(one) for one in likeliest(problem, starts)])
        labels, rounds = found.labels, [end for _, end in found.rounds]
    if labels:
        starts += _each(softened(problem, beta, labels[:_SOFTENED])[0])
        starts += _each(batch_of_labels(problem, beta, labels[:_SOFTENED]))
    state = best_state(problem, beta, alpha, task.n_clusters, starts, goal, task.max_iter)
    others = _each(softened(problem, beta, rounds)[0]) if rounds else []
    return state, False, sorted(at_rest(problem, one, alpha, goal, GLANCE).value for one in others)


def _each(batch: Batch) -> list[Batch]:
    """The solutions of a batch, one by one."""
    return [batch.copied([i])[0] for i in range(len(batch.beta))]
