"""A grid of betas on a sparse problem: each point from its neighbour and from fresh starts, its gap by search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dualib.assemble import assemble
from dualib.memory import check_sparse_fits
from dualib.problem import Atoms
from dualib.results import Curve, Solution
from dualib.solver import status_of, warn_unless_converged
from dualib.sparse_solver import MOST_CLUSTERS, is_capped, solve_sparse

if TYPE_CHECKING:
    from dualib.sparse_problem import SparseProblem

RESTARTS = 3  # fresh starts beside the neighbour


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
    solutions: list[Solution] = []
    near: Atoms | None = None
    report.expect(len(betas))
    for beta in sorted(betas, reverse=direction == "down"):
        outcome = solve_sparse(
            problem, beta, None, n_clusters, RESTARTS, tol=tol, max_iter=max_iter, certify=True, rng=rng, near=near
        )
        near = outcome.state.new
        solutions.append(assemble(problem, outcome, status_of(outcome, tol, capped=is_capped(outcome, n_clusters, tol))))
        report.step()
    report.close()
    for solution in solutions:
        warn_unless_converged(solution, tol, stacklevel=5)
    return Curve(sorted(solutions, key=lambda solution: solution.beta))
