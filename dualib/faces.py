"""The faces on which decoders of the dual IB may lie where p(y|x) has zeros, and the maxima of c on each of them.

A point s of the simplex is at a finite distance from the sources whose support holds that of s. So c is, on the points of support F,
the sum c_F of the sources whose support holds F, and ``max c = max_F max c_F``. Only closed faces matter, those that are the
intersection of the supports of their sources: c on any other F is c on a part of such a face. Ascent steps never lead from one face
to another, and on a smaller face more sources are at a finite distance. So each closed face is looked at: either no point on it can
have a c above 1, by one of the bounds below, or it is searched from starts of its own.

With a_x = p(x) / Z(x), A the sources at a finite distance and F any set that holds the support of s:

    d(x, s) >= -log p_x(F)                       so c <= sum_A a_x p_x(F)^beta                                        (1)
    -sum_y s log s <= -sum_y s log m, any m      so c <= ( sum_F ( sum_A a_x p_x(y)^beta )^(1/beta) )^beta            (2)

(2) is with the m that makes it least; it is the better one for beta < 1 (Minkowski). Where x has the largest term of c at s, each
other term is at most its geometric mean with that of x, and d(x, s) + d(x', s) >= -2 log sum_F sqrt(p_x p_x') (Bhattacharyya):

    c <= max_x sum_x' sqrt(a_x a_x') ( sum_F sqrt(p_x p_x') )^beta                                                   (3)

Where the sum of x in (3) is at most 1, x has the largest term at no s with c > 1.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from dualib.ascent import log_c, rise
from dualib.distortions import Array, Mask
from dualib.maxima_kernels import CLIMBS, COARSE, NEWTON_STEPS
from dualib.newton_kernels import GEOMETRIC
from dualib.problem import Atoms, Problem, Sweep, join
from dualib.search_kernels import ascend_known

FEW_FACES = 1023  # as many as ten y have: so many are always looked at
_MOST_FACES, _MOST_NUMBERS = 50_000, 10_000_000  # kept on the way to those that are looked at; the same times the sources
_HEURISTIC = 5_000  # kept from then on where there are more
_MOST_WORK = 20_000_000_000  # products of numbers, which take some seconds; with ten y there are fewer
_MOST_STARTS = 150_000_000  # on all faces, times the size of p(y|x) ...
_FEWEST_STARTS = 4  # ... but so many on each
_MOST_COMPARED = 200  # sources of one face for which (3) is computed
_AT_ONCE = 1_000_000  # numbers
_POINTS_AT_ONCE = 256  # of a climb, in which those on one face that meet become one
_ROUNDING = 1e-13  # of log c
_LEAST = -700.0  # of a logarithm: it bounds what is less


class Faces(NamedTuple):
    """Closed faces (m, n_y), the sources that share each (m, n), and whether bounds alone have ruled out all others."""

    face: Mask
    sharing: Mask
    complete: bool


def has_faces(problem: Problem) -> bool:
    """Whether decoders may lie on faces that no ascent leads to: the dual IB where p(y|x) has zeros."""
    return problem.support is not None and problem.distortion.support == "inside"


def look_at_faces(problem: Problem, state: Sweep, level: float) -> tuple[Atoms, Array, bool]:
    """Maxima above `level` of log c on all faces, best first; log c there; whether all faces were looked at."""
    log_a = problem.log_px - state.log_z
    least = level - _ROUNDING * (1.0 + state.beta)
    faces = closed_faces(problem, state.beta, log_a, least)
    each = _starts_on_each(problem, len(faces.face))
    found, heights = [state.atoms.pick(np.arange(0))], [np.empty(0)]
    for some in _in_parts(faces.sharing.sum(axis=1), _AT_ONCE // problem.joint.n_y):
        points = _starts(problem, state.beta, log_a, faces.face[some], faces.sharing[some], least, each)
        for part in _in_parts(np.ones(len(points), dtype=int), _POINTS_AT_ONCE):
            risen, values = _climbed(problem, state.beta, log_a, points.pick(part))
            above = values > level + _ROUNDING
            found.append(risen.pick(above))
            heights.append(values[above])
    maxima, values = functools.reduce(join, found), np.concatenate(heights)
    order = np.argsort(-values, kind="stable")
    return maxima.pick(order), values[order], faces.complete


def closed_faces(problem: Problem, beta: float, log_a: Array, level: float) -> Faces:
    """The closed faces on which log c may exceed `level`, each once; of too many those of the largest bounds.

    One y after the other, either it is left out, or it is taken into the face with all y that its sources then share (Kuznetsov's
    close-by-one), or bound (1) or (2) tells that whatever is done with the y that follow, log c stays below.
    """
    assert problem.support is not None
    order = np.argsort(problem.support.sum(axis=0), kind="stable")  # few sources share a face that begins with a rare y
    support, p = problem.support[:, order], problem.py_x[:, order]
    n, n_y = support.shape
    lacking = (~support).astype(np.float32)
    most = max(FEW_FACES, min(_MOST_FACES, _MOST_NUMBERS // n)) if problem.known == GEOMETRIC else FEW_FACES
    face: Mask = np.asarray(support.all(axis=0, keepdims=True))
    sharing: Mask = np.ones((1, n), dtype=bool)
    work, complete = 0, True
    for y in range(n_y):
        without = np.flatnonzero(~face[:, y] & sharing[:, support[:, y]].any(axis=1))
        work += (len(face) + len(without)) * n * n_y
        if work > _MOST_WORK:
            complete = False
            break
        shared = sharing[without] & support[:, y]
        closed = shared.astype(np.float32) @ lacking == 0.0
        new = ~(closed != face[without])[:, :y].any(axis=1)  # others come in another way
        face, sharing = np.concatenate([face, closed[new]]), np.concatenate([sharing, shared[new]])
        within = face.copy()
        within[:, y + 1 :] = True
        parts = np.array_split(np.arange(len(face)), max(1, len(face) * n // _AT_ONCE))
        height = np.concatenate([_bound(problem, beta, log_a, p, within[part], sharing[part]) for part in parts])
        keep = np.flatnonzero(height > level)
        if len(keep) > most:
            most, complete = max(FEW_FACES, min(_HEURISTIC, most)), False
            keep = np.sort(keep[np.argsort(-height[keep], kind="stable")[:most]])
        face, sharing = face[keep], sharing[keep]
    some = face.any(axis=1)  # not the empty set, where all was left off early
    return Faces(face[some][:, np.argsort(order, kind="stable")], sharing[some], complete)


def _bound(problem: Problem, beta: float, log_a: Array, p: Array, within: Mask, sharing: Mask) -> Array:
    """Bound (1) or (2) on log c at points within sets of y (m, n_y), by sources (m, n): (m,), -inf where a set is empty."""
    some = within.any(axis=1)
    if problem.known != GEOMETRIC:
        return np.where(some, np.inf, -np.inf)
    top = log_a.max()
    a = sharing * np.exp(np.maximum(log_a - top, _LEAST))
    with np.errstate(divide="ignore"):
        if beta >= 1.0:
            return np.asarray(top + np.log((a * (within.astype(np.float64) @ p.T) ** beta).sum(axis=1)))
        terms = np.where(within, np.log(a @ p**beta) / beta, -np.inf)
        largest = np.where(some, terms.max(axis=1), 0.0)
        return np.asarray(top + beta * (largest + np.log(np.exp(terms - largest[:, None]).sum(axis=1))))


def _starts_on_each(problem: Problem, n_faces: int) -> int:
    if problem.known != GEOMETRIC:
        return _FEWEST_STARTS
    return max(_FEWEST_STARTS, _MOST_STARTS // (problem.py_x.size * max(n_faces, 1)))


def _starts(problem: Problem, beta: float, log_a: Array, face: Mask, sharing: Mask, level: float, each: int) -> Atoms:
    """Points to climb from, sorted by face, at most `each` on one; none where (3) leaves no source.

    These are the sources, their centroid, and around each source that is left the centroid under the terms of (3). The sources that
    are not left come last, the rest by log c.
    """
    rows, sources = np.nonzero(sharing)
    sums, around = _compared(problem, beta, log_a, face, rows, sources)
    left = sums > level
    searched = np.bincount(rows[left], minlength=len(face)) > 0
    own = searched[rows]
    weights = sharing[searched] * np.exp(np.maximum(log_a - log_a.max(), _LEAST))
    middles = weights @ problem.U / weights.sum(axis=1, keepdims=True)
    on = np.concatenate([rows[own], np.flatnonzero(searched), rows[left]])
    points = Atoms(np.zeros(len(on)), np.concatenate([problem.U[sources[own]], middles, around[left]]), face[on])
    if not len(on) or np.bincount(on).max() <= each:
        return points.pick(np.argsort(on, kind="stable"))
    last = np.concatenate([~left[own], np.zeros(len(on) - int(own.sum()), dtype=bool)])
    order = np.lexsort((-log_c(problem, beta, log_a, points)[0], last, on))
    place = np.arange(len(on)) - np.searchsorted(on[order], on[order])
    return points.pick(order[place < each])


def _compared(
    problem: Problem, beta: float, log_a: Array, face: Mask, rows: np.ndarray, sources: np.ndarray
) -> tuple[Array, Array]:
    """For each source of each face (rows of these ascending) log of its sum in (3), and the mean features under its terms.

    Infinite, and the source's own, where there are too many to compare.
    """
    sums, around = np.full(len(rows), np.inf), problem.U[sources]
    if problem.known != GEOMETRIC:
        return sums, around
    begin, count = np.searchsorted(rows, rows), np.bincount(rows, minlength=1)[rows]
    own = log_a[sources] + beta * np.log((problem.py_x[sources] * face[rows]).sum(axis=1))
    root = np.sqrt(problem.py_x)
    few = np.flatnonzero(count <= _MOST_COMPARED)
    for part in _in_parts(count[few], _AT_ONCE // problem.joint.n_y):
        one = few[part]
        starts = np.cumsum(count[one]) - count[one]
        first = np.repeat(one, count[one])
        second = np.arange(len(first)) + np.repeat(begin[one] - starts, count[one])
        shared = np.einsum("py,py,py->p", root[sources[first]], root[sources[second]], face[rows[first]])
        terms = 0.5 * (log_a[sources[first]] + log_a[sources[second]]) + beta * np.log(shared)
        terms = np.minimum(terms, np.minimum(own[first], own[second]))  # by (1), and as the term of the first is the largest
        largest = np.maximum.reduceat(terms, starts)
        weights = np.exp(terms - np.repeat(largest, count[one]))
        total = np.add.reduceat(weights, starts)
        sums[one] = largest + np.log(total)
        around[one] = np.add.reduceat(weights[:, None] * problem.U[sources[second]], starts) / total[:, None]
    return sums, around


def _in_parts(sizes: np.ndarray, most: int) -> list[np.ndarray]:
    """Indices in consecutive parts whose sizes sum to at most `most`, but for the last of each."""
    part = (np.cumsum(sizes) - 1) // max(most, 1)
    return np.split(np.arange(len(sizes)), np.flatnonzero(np.diff(part)) + 1) if len(sizes) else []


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
