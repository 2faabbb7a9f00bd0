"""The duality gap at a state of the solver: exact or proved where that is to be had, else searched for."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dualib.ascent import log_c
from dualib.distortions import IB, Array, DualIB
from dualib.faces import has_faces, look_at_faces
from dualib.problem import Atoms, Problem, Sweep, join
from dualib.search import Maxima
from dualib.walk_kernels import MISSED, PROOF

if TYPE_CHECKING:
    from dualib.engine.root_cells import Table

_MAX_CELLS = 400_000
Kind = Literal["rigorous", "multistart", "heuristic"]
_WALK_N_Y = 4
_TABLES: weakref.WeakKeyDictionary[Problem, Table | None] = weakref.WeakKeyDictionary()  # proved again and again along a path
_ROWS: weakref.WeakKeyDictionary[Problem, Any] = weakref.WeakKeyDictionary()  # ... and within a walk


def provable(problem: Problem) -> bool:
    """Whether branch and bound applies: few y, or for the IB few x, or p(y|x) in a flat of few dimensions."""
    return _table(problem) is not None


def provable_in_walk(problem: Problem) -> bool:
    """Whether the compiled proofs of `dualib.walk_kernels` apply too."""
    return provable(problem) and problem.joint.n_y <= _WALK_N_Y


def _table(problem: Problem) -> Table | None:
    """The conditionals as branch and bound takes them; None where it does not apply."""
    from dualib.engine.root_cells import Table
    from dualib.engine.root_cells import provable as is_provable

    if problem not in _TABLES:
        kind: Literal["ib", "dualib"] = "ib" if isinstance(problem.distortion, IB) else "dualib"
        table = None
        if isinstance(problem.distortion, (IB, DualIB)) and not problem.is_sparse and is_provable(problem.py_x, kind):
            table = Table(problem.py_x / problem.py_x.sum(axis=1, keepdims=True), kind)
        _TABLES[problem] = table
    return _TABLES[problem]


def judge(
    problem: Problem, state: Sweep, maxima: Maxima, tol: float, *, prove: bool = True, on_faces: bool = True
) -> tuple[float, Kind, Maxima]:
    """The gap, its kind, and the maxima it rests on: exact or proved where that is to be had, else from the search.

    What no proof covers is searched on every face of the dual IB, too, unless `on_faces` says that nothing will rest on it.
    """
    gap = max(0.0, maxima.best)
    if problem.distortion.fixed_atoms:
        return gap, "rigorous", maxima
    if prove and provable(problem):
        gap, kind, maxima = _prove(problem, state, maxima, tol)
        if kind == "rigorous":
            return gap, kind, maxima
    if not on_faces or not has_faces(problem):
        return gap, "multistart", maxima
    points, values, complete = look_at_faces(problem, state, gap)
    if len(values):
        gap, maxima = float(values[0]), Maxima(join(points, maxima.points), np.concatenate([values, maxima.log_c]))
    return gap, "multistart" if complete else "heuristic", maxima


def proof_of_walk(problem: Problem, *, hasty: bool) -> tuple[Any, ...]:
    """What `dualib.walk_kernels.walked_known` needs for the same proofs, where no zero of p(y|x) matters: `proof` there.

    With `hasty` they end where interpreted code would take long.
    """
    from dualib.bounds import TRIAL

    rows, kind = _rows(problem)
    columns, offset, features, roots, widest = rows.interior(kind)
    return columns, problem.a, offset, features, roots, rows.p, widest, TRIAL if hasty else _MAX_CELLS


def _rows(problem: Problem) -> tuple[Any, Literal["ib", "dualib"]]:
    """The conditionals as `dualib.bounds.Rows`, and the distortion as it is called there."""
    from dualib.bounds import Rows

    rows = _ROWS.get(problem)
    if rows is None:
        rows = _ROWS[problem] = Rows(problem.py_x)
    return rows, "ib" if isinstance(problem.distortion, IB) else "dualib"


def _prove(problem: Problem, state: Sweep, maxima: Maxima, tol: float) -> tuple[float, Kind, Maxima]:
    """Branch and bound; where it finds a larger c than the search did, that point joins the maxima."""
    from dualib.engine.proof import prove_many

    table = _table(problem)
    assert table is not None
    log_a = problem.log_px - state.log_z
    lower = max(0.0, maxima.best)
    shifted = log_a + state.beta * problem.a  # the proof counts the offset a(x) in d, the sweeps leave it out of d and Z
    points, beta = problem.decoder(state.atoms), np.array([state.beta])
    result = prove_many(table, shifted[None], beta, [points], PROOF * tol, np.array([lower]), _MAX_CELLS)[0]
    if result.best_value > lower + MISSED * tol:
        point = _ascend(problem, state.beta, log_a, result.best_point)
        value = log_c(problem, state.beta, log_a, point)[0]
        maxima = Maxima(join(point, maxima.points), np.concatenate([value, maxima.log_c]))
        lower = max(lower, float(value[0]))
    if not result.proved:
        return lower, "multistart", maxima
    return max(lower, result.upper), "rigorous", maxima


def _ascend(problem: Problem, beta: float, log_a: Array, point: Array) -> Atoms:
    """The atom one ascent step from a decoder (n_y,), which gives it a face that sweeps keep."""
    means = point if isinstance(problem.distortion, IB) else np.log(np.where(point > 0.0, point, 1.0))
    start = Atoms(np.zeros(1), means[None, :], None if problem.support is None else point[None, :] > 0.0)
    members = log_c(problem, beta, log_a, start)[1]
    return problem.atoms_from_members(members, np.zeros(1))
