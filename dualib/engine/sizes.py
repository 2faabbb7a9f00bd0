"""Whether the solves of a problem fit into memory, asked before the work starts."""

from __future__ import annotations

from dualib.engine.problem import Problem
from dualib.joint import JointDistribution
from dualib.memory import least_memory, refuse_above, sparse_memory


def check_solvable(problem: Problem) -> None:
    """Refuse a problem that a certified solve cannot fit into memory; a sparse one is refused before it is made.

    Raises
    ------
    MemoryError
        With the size that it would need.
    """
    if not (problem.distortion.fixed_atoms or problem.is_sparse):
        n, k, n_y = problem.n, problem.U.shape[1], problem.joint.n_y
        refuse_above(least_memory(n, k, n_y), f"a certified solve of {n} distinct x with {k} features and {n_y} y")


def check_sparse_fits(joint: JointDistribution, n_t: int = 1, points: int = 1) -> None:
    """Refuse a sparse joint distribution whose solves with n_t clusters, at so many betas, cannot fit into memory.

    Raises
    ------
    MemoryError
        With the size that it would need.
    """
    what = f"a sparse problem of {joint.n_x} x by {joint.n_y} y with {joint.pxy.nnz} nonzeros and {n_t} clusters"
    what += f" at {points} betas" if points > 1 else ""
    kept = 8 * (points - 1) * n_t * (joint.n_x + 3 * joint.n_y)
    refuse_above(sparse_memory(joint.n_x, joint.n_y, joint.pxy.nnz, n_t) + kept, what)
