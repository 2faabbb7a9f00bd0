"""The faces of the dual IB as the engine of located events looks at them; what they are is in `dualib.engine.faces`."""

from __future__ import annotations

import functools

import numpy as np

from dualib.ascent import log_c, rise
from dualib.distortions import Array, Mask
from dualib.engine import faces as engine
from dualib.maxima_kernels import CLIMBS, COARSE, NEWTON_STEPS
from dualib.newton_kernels import GEOMETRIC
from dualib.problem import Atoms, Problem, Sweep, join
from dualib.search_kernels import ascend_known

_AT_ONCE, _POINTS_AT_ONCE = 1_000_000, 256  # numbers; points of a climb, in which those on one face that meet become one
_ROUNDING = 1e-13  # of log c


def has_faces(problem: Problem) -> bool:
    """Whether decoders may lie on faces that no ascent leads to: the dual IB where p(y|x) has zeros."""
    return problem.support is not None and problem.distortion.support == "inside"


def look_at_faces(problem: Problem, state: Sweep, level: float) -> tuple[Atoms, Array, bool]:
    """Maxima above `level` of log c on all faces, best first; log c there; whether all faces were looked at."""
    log_a = problem.log_px - state.log_z
    least = level - _ROUNDING * (1.0 + state.beta)
    faces = closed_faces(problem, state.beta, log_a, least)
    each = engine.most_starts(problem.py_x, len(faces.face), bounded=problem.known == GEOMETRIC)
    found, heights = [state.atoms.pick(np.arange(0))], [np.empty(0)]
    for some in engine.in_parts(faces.sharing.sum(axis=1), _AT_ONCE // problem.joint.n_y):
        points = _starts(problem, state.beta, log_a, faces.face[some], faces.sharing[some], least, each)
        for part in engine.in_parts(np.ones(len(points), dtype=int), _POINTS_AT_ONCE):
            risen, values = _climbed(problem, state.beta, log_a, points.pick(part))
            above = values > level + _ROUNDING
            found.append(risen.pick(above))
            heights.append(values[above])
    maxima, values = functools.reduce(join, found), np.concatenate(heights)
    order = np.argsort(-values, kind="stable")
    return maxima.pick(order), values[order], faces.complete


def closed_faces(problem: Problem, beta: float, log_a: Array, level: float) -> engine.ClosedFaces:
    """`dualib.engine.faces.closed_faces` of a problem."""
    return engine.closed_faces(problem.py_x, beta, log_a, level, bounded=problem.known == GEOMETRIC)


def _starts(problem: Problem, beta: float, log_a: Array, face: Mask, sharing: Mask, level: float, each: int) -> Atoms:
    """Points to climb from, sorted by face, at most `each` on one."""
    faces, bounded = engine.ClosedFaces(face, sharing, True), problem.known == GEOMETRIC
    on, means, last = engine.starts_on(faces, problem.py_x, problem.U, beta, log_a, level, bounded=bounded)
    points = Atoms(np.zeros(len(on)), means, face[on])
    many = len(on) > 0 and np.bincount(on).max() > each
    return points.pick(engine.ranked(on, last, log_c(problem, beta, log_a, points)[0] if many else None, each))


def _climbed(problem: Problem, beta: float, log_a: Array, points: Atoms) -> tuple[Atoms, Array]:
    """The maxima of log c that points climb to, and log c there."""
    if problem.known != GEOMETRIC:
        return rise(problem, beta, log_a, points, NEWTON_STEPS)
    assert points.face is not None
    _, *arrays = problem.for_kernels(points)
    (_, k), n_y = points.means.shape, points.face.shape[1]
    no_atoms = (np.empty((0, k)), np.empty((0, k)), np.empty((0, n_y), dtype=bool), np.empty(0))
    limits = (CLIMBS, NEWTON_STEPS, COARSE)
    means, values, which = ascend_known(problem.known, beta, problem.UT, log_a, *arrays, *no_atoms, *limits)
    return Atoms(points.weights[which], means, points.face[which]), values
