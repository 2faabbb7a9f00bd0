"""A grid of betas on a sparse problem: each point from its neighbour and from fresh starts, its gap by search."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from dualib.assemble import assemble
from dualib.memory import check_sparse_fits
from dualib.problem import Atoms
from dualib.results import Curve
from dualib.solver import status_of, warn_unless_converged
from dualib.sparse_solver import MOST_CLUSTERS, is_capped, optimise_sparse, solve_sparse

if TYPE_CHECKING:
    from dualib.optimise import Outcome
    from dualib.sparse_problem import SparseProblem

RESTARTS = 3  # fresh starts beside the neighbour
_RISE = 1e-12  # of an objective, relative to 1 + |G|: rounding


def anneal_sparse(
    problem: SparseProblem,
    betas: list[float],
    n_clusters: int | None,
    *,
    tol: float,
    max_iter: int,
    direction: str,
    rng: np.random.Generator,
    report: Any,
) -> Curve:
    """Solve each beta; of the neighbour's clusters and fresh starts the best after a few sweeps is followed to the end.

    Raises
    ------
    MemoryError
        The encoders of all points do not fit, with the size that they would need.
    """
    most = min(problem.n, MOST_CLUSTERS if n_clusters is None else n_clusters)
    check_sparse_fits(problem.joint, 1 if n_clusters is None else most, points=len(betas))
    outcomes: dict[float, Outcome] = {}
    near: Atoms | None = None
    report.expect(len(betas))
    for beta in sorted(betas, reverse=direction == "down"):
        outcomes[beta] = solve_sparse(
            problem, beta, None, n_clusters, RESTARTS, tol=tol, max_iter=max_iter, certify=True, rng=rng, near=near
        )
        near = outcomes[beta].state.new
        report.step()
    options: dict[str, Any] = {"tol": tol, "max_iter": max_iter, "rng": rng, "most": most}
    _exchange(problem, outcomes, functools.partial(optimise_sparse, problem, **options))
    report.close()
    solutions = [
        assemble(problem, outcome, status_of(outcome, tol, capped=is_capped(outcome, n_clusters, tol)))
        for _, outcome in sorted(outcomes.items())
    ]
    for solution in solutions:
        warn_unless_converged(solution, tol, stacklevel=5)
    return Curve(solutions)


def _exchange(problem: SparseProblem, outcomes: dict[float, Outcome], solve: Callable[[float, Atoms], Outcome]) -> None:
    """Solve anew each beta at which the encoder of a neighbouring one is better, until there is none.

    Then ``rate + beta E d`` is no less with the neighbour's rate and E d, both ways, from which it follows that E d does not rise
    with beta: the IB loses no relevance.
    """
    betas = sorted(outcomes)
    pairs = [*itertools.pairwise(betas), *((high, low) for low, high in itertools.pairwise(betas))]
    for _ in range(len(betas) + 1):
        changed = False
        for of, at in pairs:
            start, present = outcomes[of].state.new, outcomes[at].state.objective
            if problem.sweep(at, start).objective < present - _RISE * (1.0 + abs(present)):
                found = solve(at, start)
                if found.state.objective < present:
                    outcomes[at], changed = found, True
        if not changed:
            return
