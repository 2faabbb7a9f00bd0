"""Which problem a joint distribution and a distortion get: dense, or sparse where the table is and is large; and what is refused."""

from __future__ import annotations

from dualib.distortions.bottlenecks import IB, DualIB
from dualib.distortions.interface import Distortion
from dualib.engine.problem import Problem
from dualib.engine.sparse import SparseProblem
from dualib.joint import JointDistribution
from dualib.memory import in_words, least_memory

MOST_DENSE_CELLS = 10_000_000  # of a sparse p(x, y) that is made dense unasked: 80 MB
DENSE_CELLS = 100_000  # p(y|x) of up to so many cells is solved in its dense form, which is as fast and searched more closely


def problem_of(
    joint: JointDistribution, distortion: Distortion, n_clusters: int | None = None, caller: str | None = None
) -> Problem:
    """The reduced problem: sparse where p(x, y) is, the distortion allows it, and the dense form would be large; else dense.

    A sparse one is for a cap on the clusters, where there is one. `caller` is what a refusal says needs the dense form.

    Raises
    ------
    MemoryError
        It cannot fit, with the size that it would need.
    ValueError
        As of `engine_problem`.
    """
    if solves_sparse(joint, distortion):
        return SparseProblem(joint, n_clusters, distortion)
    of = f"distortion {distortion!r}"
    return engine_problem(joint, distortion, of if caller is None else f"{caller} with {of}")


def solves_sparse(joint: JointDistribution, distortion: Distortion) -> bool:
    """Whether a joint distribution is kept sparse: a large one, by the IB, or where it is smoothed by the dual IB, too."""
    cells = _sparse_cells(joint)
    kinds = (IB, DualIB) if cells and joint.is_smoothed else (IB,)
    return type(distortion) in kinds and cells > DENSE_CELLS


def engine_problem(joint: JointDistribution, distortion: Distortion, caller: str) -> Problem:
    """The dense reduced problem; a sparse joint distribution is made dense up to MOST_DENSE_CELLS and refused beyond.

    Raises
    ------
    ValueError
        The table is larger, naming the caller, which needs the dense form, and the memory that this would take at least.
    """
    if _sparse_cells(joint) > MOST_DENSE_CELLS:
        size = in_words(least_memory(joint.n_x, joint.n_y, joint.n_y))
        raise ValueError(
            f"joint: {caller} needs the dense form of p(x, y), and this sparse one has {joint.n_x} x {joint.n_y} cells, more than"
            f" {MOST_DENSE_CELLS}: that would take {size} of memory at least. Leave out rare x or y, or join them;"
            f" {_remedy(joint)}; joint.to_dense() has the dense form made all the same"
        )
    return Problem(joint, distortion)


def _remedy(joint: JointDistribution) -> str:
    if joint.is_smoothed:
        return "solve, quantize, anneal, certify, onset and solve_at by the IB and the dual IB keep it sparse"
    of_dual = "by the dual IB from_counts(counts, smoothing=...) of more than a million cells"
    return f"solve, quantize, anneal, certify, onset and solve_at keep it sparse by the IB, and {of_dual}"


def _sparse_cells(joint: JointDistribution) -> int:
    """The cells of a sparse p(x, y); 0 of a dense one, or where it is none at all."""
    return joint.n_x * joint.n_y if isinstance(joint, JointDistribution) and joint.is_sparse else 0
