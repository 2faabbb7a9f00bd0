"""Which problem a joint distribution and a distortion get: dense, or sparse where the table is and is large; and what is refused."""

from __future__ import annotations

from dualib.distortions.bottlenecks import IB
from dualib.distortions.interface import Distortion
from dualib.engine.problem import Problem
from dualib.engine.sparse import SparseProblem
from dualib.joint import JointDistribution

MOST_DENSE_CELLS = 10_000_000  # of a sparse p(x, y) that is made dense unasked: 80 MB
DENSE_CELLS = 100_000  # p(y|x) of up to so many cells is solved in its dense form, which is as fast and searched more closely


def problem_of(joint: JointDistribution, distortion: Distortion, n_clusters: int | None = None) -> Problem:
    """The reduced problem: sparse where p(x, y) is, the distortion is the IB, and the dense form would be large; else dense.

    A sparse one is for a cap on the clusters, where there is one.

    Raises
    ------
    MemoryError
        It cannot fit, with the size that it would need.
    """
    if solves_sparse(joint, distortion):
        return SparseProblem(joint, n_clusters)
    return engine_problem(joint, distortion, f"distortion {distortion!r}")


def solves_sparse(joint: JointDistribution, distortion: Distortion) -> bool:
    """Whether `solve` keeps a joint distribution sparse."""
    return type(distortion) is IB and _sparse_cells(joint) > DENSE_CELLS


def engine_problem(joint: JointDistribution, distortion: Distortion, caller: str) -> Problem:
    """The dense reduced problem; a sparse joint distribution is made dense up to MOST_DENSE_CELLS and refused beyond.

    Raises
    ------
    ValueError
        The table is sparse and larger: nothing has been made dense yet.
    """
    refuse_to_densify(joint, caller)
    return Problem(joint, distortion)


def stays_sparse(joint: JointDistribution, distortion: Distortion, n_clusters: int | None) -> bool:
    """Whether `anneal` keeps a joint distribution sparse."""
    return type(distortion) is IB and _sparse_cells(joint) > (MOST_DENSE_CELLS if n_clusters is None else DENSE_CELLS)


def refuse_to_densify(joint: JointDistribution, caller: str) -> None:
    """Refuse a sparse joint distribution of more than MOST_DENSE_CELLS.

    Raises
    ------
    ValueError
        Naming the caller, which needs the dense form.
    """
    if _sparse_cells(joint) > MOST_DENSE_CELLS:
        raise ValueError(
            f"joint: {caller} needs the dense form of p(x, y), and this sparse one has {joint.n_x} x {joint.n_y} cells, more than"
            f" {MOST_DENSE_CELLS}; solve, and anneal with betas and events=False, keep it sparse for the IB;"
            " joint.to_dense() has the dense form made all the same"
        )


def _sparse_cells(joint: JointDistribution) -> int:
    """The cells of a sparse p(x, y); 0 of a dense one, or where it is none at all."""
    return joint.n_x * joint.n_y if isinstance(joint, JointDistribution) and joint.is_sparse else 0
