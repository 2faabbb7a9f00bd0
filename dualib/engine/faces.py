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

Where the sum of x in (3) is at most 1, x has the largest term at no s with c > 1. A distortion of one's own has none of the bounds.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from dualib.distortions.bottlenecks import DualIB
from dualib.distortions.interface import Array, Mask
from dualib.engine.batch import Batch
from dualib.engine.problem import Ints, Problem
from dualib.engine.search import Found, climbed_from
from dualib.engine.starts import Points, stacked
from dualib.engine.sweep import Sweep, log_c

FEW_FACES = 1023  # as many as ten y have: so many are always looked at
_MOST_FACES, _MOST_NUMBERS = 50_000, 10_000_000  # kept on the way to those that are looked at; the same times the sources
_HEURISTIC = 5_000  # kept from then on where there are more
_MOST_WORK = 20_000_000_000  # products of numbers, which take some seconds; with ten y there are fewer
_MOST_STARTS = 150_000_000  # on all faces, times the size of p(y|x), at most ...
_FEWEST_STARTS = 4  # ... but so many on each
_MOST_COMPARED = 200  # sources of one face for which (3) is computed
_AT_ONCE = 1_000_000  # numbers
_FEWEST_AT_ONCE, _MOST_AT_ONCE = 256, 4096  # points of a climb, in which those on one face that meet become one
_ROUNDING = 1e-13  # of log c
_LEAST = -700.0  # of a logarithm: it bounds what is less


class ClosedFaces(NamedTuple):
    """Closed faces (m, n_y), the sources that share each (m, n), and whether bounds alone have ruled out all others."""

    face: Mask
    sharing: Mask
    complete: bool


def has_faces(problem: Problem) -> bool:
    """Whether decoders may lie on faces that no ascent leads to: the dual IB where p(y|x) has zeros."""
    return problem.faces is not None and not problem.faces.cover


def look_at_faces(problem: Problem, batch: Batch, sweep: Sweep, found: Found, which: Mask, tol: float) -> tuple[Found, Mask]:
    """What was found, with what lies above `tol` on any face, of the solutions of a mask; and of which all faces were looked at."""
    assert problem.faces is not None
    apart = copy.copy(problem)  # most of the faces are not those of atoms, and need not stay
    apart.faces = problem.faces.copied()
    complete = np.ones(len(batch.beta), dtype=bool)
    starts = _all_starts(apart, batch, sweep, found.gap, which, complete)
    found = climbed_from(apart, batch, sweep, found, _in_batches(starts, problem.n), tol)
    new, best = (
        points._replace(face=problem.faces.numbers(apart.faces.masks[points.face])) for points in (found.points, found.best)
    )
    return found._replace(points=new, best=best), complete


def _all_starts(problem: Problem, batch: Batch, sweep: Sweep, gap: Array, which: Mask, complete: Mask) -> Iterator[Points]:
    """The starts on all faces of each solution of a mask; `complete` becomes whether all faces were looked at."""
    assert problem.faces is not None
    bounded = type(problem.distortion) is DualIB  # others have no bounds: nothing is below the level
    for s in np.flatnonzero(which):
        beta, log_a = float(batch.beta[s]), problem.log_px - sweep.log_z[s]
        level = gap[s] - _ROUNDING * (1.0 + beta) if bounded else -np.inf
        faces = closed_faces(problem.py_x, beta, log_a, level)
        complete[s], most = faces.complete, max(_FEWEST_STARTS, _MOST_STARTS // (problem.py_x.size * max(len(faces.face), 1)))
        for some in in_parts(faces.sharing.sum(axis=1), _AT_ONCE // problem.py_x.shape[1]):
            part = ClosedFaces(faces.face[some], faces.sharing[some], faces.complete)
            on, means, last = starts_on(part, problem.py_x, problem.U, beta, log_a, level)
            points = Points(means, problem.faces.numbers(part.face)[on], np.full(len(on), s))
            many = len(on) > 0 and np.bincount(on).max() > most
            yield points.pick(ranked(on, last, log_c(problem, batch.beta, sweep.log_z, *points)[0] if many else None, most))


def _in_batches(parts: Iterator[Points], n: int) -> Iterator[Points]:
    """The same points, as many together as are one climb."""
    size = min(max(_FEWEST_AT_ONCE, _AT_ONCE // n), _MOST_AT_ONCE)
    waiting: list[Points] = []
    for points in parts:
        waiting.append(points)
        if sum(len(some.owner) for some in waiting) >= size:
            whole = stacked(waiting)
            for begin in range(0, len(whole.owner), size):
                yield whole.pick(np.arange(begin, min(begin + size, len(whole.owner))))
            waiting = []
    if waiting:
        yield stacked(waiting)


def closed_faces(p: Array, beta: float, log_a: Array, level: float) -> ClosedFaces:
    """The closed faces of p(y|x) on which log c may exceed `level`, each once; of too many those of the largest bounds.

    One y after the other, either it is left out, or it is taken into the face with all y that its sources then share (Kuznetsov's
    close-by-one), or bound (1) or (2) tells that whatever is done with the y that follow, log c stays below.
    """
    order = np.argsort((p > 0.0).sum(axis=0), kind="stable")  # few sources share a face that begins with a rare y
    p = p[:, order]
    support, (n, n_y) = p > 0.0, p.shape
    lacking = (~support).astype(np.float32)
    most = max(FEW_FACES, min(_MOST_FACES, _MOST_NUMBERS // n))
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
        height = np.concatenate([_bound(p, beta, log_a, within[part], sharing[part]) for part in parts])
        keep = np.flatnonzero(height >= level)
        if len(keep) > most:
            most, complete = max(FEW_FACES, min(_HEURISTIC, most)), False
            keep = np.sort(keep[np.argsort(-height[keep], kind="stable")[:most]])
        face, sharing = face[keep], sharing[keep]
    some = face.any(axis=1)  # not the empty set, where all was left off early
    return ClosedFaces(face[some][:, np.argsort(order, kind="stable")], sharing[some], complete)


def _bound(p: Array, beta: float, log_a: Array, within: Mask, sharing: Mask) -> Array:
    """Bound (1) or (2) on log c at points within sets of y (m, n_y), by sources (m, n): (m,), -inf where a set is empty."""
    some, top = within.any(axis=1), log_a.max()
    a = sharing * np.exp(np.maximum(log_a - top, _LEAST))
    with np.errstate(divide="ignore"):
        if beta >= 1.0:
            return np.asarray(top + np.log((a * (within.astype(np.float64) @ p.T) ** beta).sum(axis=1)))
        terms = np.where(within, np.log(a @ p**beta) / beta, -np.inf)
        largest = np.where(some, terms.max(axis=1), 0.0)
        return np.asarray(top + beta * (largest + np.log(np.exp(terms - largest[:, None]).sum(axis=1))))


def starts_on(faces: ClosedFaces, p: Array, U: Array, beta: float, log_a: Array, level: float) -> tuple[Ints, Array, Mask]:
    """Points to climb from: the faces they lie on, their mean features, and which of them are the least hopeful.

    These are the sources, their centroid, and around each source that is left by (3) the centroid under its terms; none where (3)
    leaves no source. The sources that are not left are the least hopeful.
    """
    rows, sources = np.nonzero(faces.sharing)
    sums, around = _compared(p, U, beta, log_a, faces.face, rows, sources)
    left = sums >= level
    searched = np.bincount(rows[left], minlength=len(faces.face)) > 0
    own = searched[rows]
    weights = faces.sharing[searched] * np.exp(np.maximum(log_a - log_a.max(), _LEAST))
    middles = weights @ U / weights.sum(axis=1, keepdims=True)
    on = np.concatenate([rows[own], np.flatnonzero(searched), rows[left]])
    last = np.concatenate([~left[own], np.zeros(len(on) - int(own.sum()), dtype=bool)])
    return on, np.concatenate([U[sources[own]], middles, around[left]]), last


def ranked(on: Ints, last: Mask, value: Array | None, most: int) -> Ints:
    """Points by number, sorted by face, at most so many on one: of largest log c, the least hopeful last; all where that is None."""
    if value is None:
        return np.argsort(on, kind="stable")
    order = np.lexsort((-value, last, on))
    place = np.arange(len(on)) - np.searchsorted(on[order], on[order])
    return order[place < most]


def _compared(p: Array, U: Array, beta: float, log_a: Array, face: Mask, rows: Ints, sources: Ints) -> tuple[Array, Array]:
    """For each source of each face (rows of these ascending) log of its sum in (3), and the mean features under its terms.

    Infinite, and the source's own, where there are too many to compare.
    """
    sums, around = np.full(len(rows), np.inf), U[sources]
    begin, count = np.searchsorted(rows, rows), np.bincount(rows, minlength=1)[rows]
    own = log_a[sources] + beta * np.log((p[sources] * face[rows]).sum(axis=1))
    root = np.sqrt(p)
    few = np.flatnonzero(count <= _MOST_COMPARED)
    for part in in_parts(count[few], _AT_ONCE // p.shape[1]):
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
        around[one] = np.add.reduceat(weights[:, None] * U[sources[second]], starts) / total[:, None]
    return sums, around


def in_parts(sizes: Ints, most: int) -> list[Ints]:
    """Indices in consecutive parts whose sizes sum to at most `most`, but for the last of each."""
    part = (np.cumsum(sizes) - 1) // max(most, 1)
    return np.split(np.arange(len(sizes)), np.flatnonzero(np.diff(part)) + 1) if len(sizes) else []
