"""How far the states of a batch can be from the optimum: proved where that is to be had, else the largest c that was found."""

from __future__ import annotations

import weakref
from typing import Literal

import numpy as np
import numpy.typing as npt

from dualib.distortions.bottlenecks import IB, DualIB
from dualib.distortions.interface import Array, Mask
from dualib.doors import step
from dualib.engine.batch import Batch
from dualib.engine.faces import has_faces, look_at_faces
from dualib.engine.problem import Problem
from dualib.engine.proof import prove_many
from dualib.engine.root_cells import Table
from dualib.engine.root_cells import provable as is_provable
from dualib.engine.search import Found, joined
from dualib.engine.starts import Points
from dualib.engine.sweep import Sweep, log_c

Kind = Literal["rigorous", "multistart", "heuristic"]
Kinds = npt.NDArray[np.str_]
MOST_CELLS = 400_000
_PROOF, _MISSED = 0.5, 0.25  # parts of a tolerance: that of a proof, and by how much c is larger where a search has missed it
_BORN = 1e-6  # weight of a point that a proof found
_tables: weakref.WeakKeyDictionary[Problem, Table | None] = weakref.WeakKeyDictionary()


@step("proof")
def judge(
    problem: Problem,
    batch: Batch,
    sweep: Sweep,
    found: Found,
    tol: float,
    *,
    prove: Mask,
    search: Mask,
    worthwhile: float | None = None,
) -> tuple[Found, Kinds]:
    """What was found with what a search has missed, and the kinds of the gaps (S,), with respect to two masks of solutions.

    Of those to `prove` the gaps are proved within `tol` where that can be done; for those to `search` that are not, every face of
    the dual IB is searched, too, for log c above `worthwhile`. A gap is heuristic where some face was not.
    """
    usual = "rigorous" if problem.fixed else "heuristic" if has_faces(problem) else "multistart"
    kinds = np.full(len(batch.beta), usual, dtype="<U10")
    if provable(problem) and prove.any():
        found, proved = _with_proofs(problem, batch, sweep, found, prove, tol)
        kinds[proved] = "rigorous"
    search = search & (kinds == "heuristic")
    if search.any():
        found, complete = look_at_faces(problem, batch, sweep, found, search, tol if worthwhile is None else worthwhile)
        kinds[search & complete] = "multistart"
    return found, kinds


def provable(problem: Problem) -> bool:
    """Whether branch and bound applies: few y, or for the IB few x, or p(y|x) in a flat of few dimensions."""
    return _table(problem) is not None


def _table(problem: Problem) -> Table | None:
    """The conditionals as branch and bound takes them; None where it does not apply."""
    if problem not in _tables:
        own = type(problem.distortion)  # a subclass may have another link
        kind: Literal["ib", "dualib"] = "ib" if own is IB else "dualib"
        known = own in (IB, DualIB) and not problem.is_sparse
        possible = known and is_provable(problem.py_x, kind)
        _tables[problem] = Table(problem.py_x / problem.py_x.sum(axis=1, keepdims=True), kind) if possible else None
    return _tables[problem]


def _with_proofs(problem: Problem, batch: Batch, sweep: Sweep, found: Found, which: Mask, tol: float) -> tuple[Found, Mask]:
    """What was found with bounds of the gaps, or with points of larger c than was known, of a mask; and which are proved (S,)."""
    table, numbers = _table(problem), np.flatnonzero(which)
    assert table is not None
    beta, lower, gap = batch.beta[numbers], found.gap[numbers], found.gap.copy()
    # proofs count the offset a(x) in d, sweeps leave it out of d and Z
    log_a = problem.log_px - sweep.log_z[numbers] + beta[:, None] * problem.a
    decoders = problem.decoder(batch.means, batch.face)
    own = [decoders[batch.ends[s] : batch.ends[s + 1]] for s in numbers]
    proofs = prove_many(table, log_a, beta, own, _PROOF * tol, lower, MOST_CELLS)
    proved, highest = np.zeros(len(gap), dtype=bool), np.array([proof.best_value for proof in proofs])
    proved[numbers] = [proof.proved for proof in proofs]
    gap[numbers] = np.maximum(lower, [proof.upper if proof.proved else proof.best_value for proof in proofs])
    better = np.flatnonzero(highest > lower + _MISSED * tol)
    if not len(better):
        return found._replace(gap=gap), proved
    points, values = _ascended(problem, batch, sweep, np.array([proofs[i].best_point for i in better]), numbers[better])
    np.maximum.at(gap, points.owner, values)
    means, face = found.best.means.copy(), found.best.face.copy()
    means[points.owner], face[points.owner] = points.means, points.face
    best = Points(means, face, found.best.owner)
    return joined(found, np.full(len(values), _BORN), points)._replace(gap=gap, best=best), proved


def _ascended(problem: Problem, batch: Batch, sweep: Sweep, decoders: Array, owner: npt.NDArray) -> tuple[Points, Array]:
    """Points one ascent step from decoders (p, n_y) of solutions, which gives them faces that sweeps keep; and log c there."""
    means = decoders if type(problem.distortion) is IB else np.log(np.where(decoders > 0.0, decoders, 1.0))
    face = np.zeros(len(owner), dtype=np.int64) if problem.faces is None else problem.faces.numbers(decoders > 0.0)
    _, _, _, terms = log_c(problem, batch.beta, sweep.log_z, means, face, owner)
    pairs = terms * problem.px
    means, face, feasible = problem.centroids(pairs / pairs.sum(axis=1, keepdims=True))
    points = Points(means, face, owner[feasible])
    return points, log_c(problem, batch.beta, sweep.log_z, *points)[0]
