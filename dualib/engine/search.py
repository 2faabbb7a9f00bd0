"""The search for points of c > 1, for all solutions of a batch at once.

``c(s) = sum_x p(x) exp(-beta d(x, s)) / Z(x)`` is the gradient function of the objective over measures on the simplex
(Lindsay 1983): a point of c > 1 is a cluster that would lower the objective, and ``log max c`` is the duality gap.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from dualib.distortions.interface import Array, Mask
from dualib.doors import step
from dualib.engine.batch import Batch, distinct, nearest
from dualib.engine.problem import Ints, Problem, inner
from dualib.engine.starts import Points, columns, stability_numbers, stacked, starting_points
from dualib.engine.sweep import Sweep, ascent, log_c, second_moment

_MOST_CLIMBS = 40  # of two ascent steps and an extrapolation
_NEAR, _LEAST_RADIUS = 0.1, 1e-7  # squared natural distance at which an atom swallows a point: of a stable atom, and at least
_NEAR_FACES = 1e-3  # the same where c need not be smooth, for zeros of p(y|x)
_STATIONARY = 1e-6  # residual of a solution whose atoms are at maxima of c; others hide nothing
_STILL = 1e-9  # squared natural length of a slow ascent step; on the ridge beside an atom that all but divides few are longer
_MOST_STEPS, _RISEN = 1000, 1e-12  # plain ascent steps of points to rest, and what they rise by before
_RESTED = 1e-11  # log c up to which points are at rest
# a point is at rest where log c will rise by less than this part of it; and climbs on while so many times that may bring it above
_NEAR_TOP, _HOPE = 0.1, 10.0
_PATIENT, _CLEAR = 5, 1e-3  # climbs after which a point of so large a log c need not come to rest
# linear rate that an extrapolation assumes at most; its length where steps still grow
_SLOWEST, _AWAY_FROM_SADDLE = 0.9999, 30.0
_MET_ON_THE_WAY, _MET = 1e-4, 0.1  # squared natural distance within which points are one, on the way and as new atoms
_WORTHWHILE = 0.05  # part of the largest log c from which on a point becomes an atom
_SHARE = (1e-6, 0.3)  # weight of a new atom, at least and at most


class Found(NamedTuple):
    """New atoms and the gaps.

    Attributes
    ----------
    weights : (p,), points : Points
        What would lower the objectives, the best first for each solution.
    gap : (S,)
        The largest log c found, at the atoms or anywhere else, at least 0.
    best : Points
        Where it was found: one point for each solution, in order.
    rate : (m,)
        The stability numbers of the atoms, from below: where they come to 1 an atom divides.
    """

    weights: Array
    points: Points
    gap: Array
    best: Points
    rate: Array

    @property
    def counts(self) -> Ints:
        """The number of new atoms of each solution, (S,)."""
        return np.bincount(self.points.owner, minlength=len(self.gap))


class _Largest:
    """The largest log c so far of each solution, and where."""

    def __init__(self, batch: Batch, sweep: Sweep) -> None:
        own = np.log(sweep.c)
        self.value = np.full(len(batch.beta), -np.inf)
        self.means, self.face = batch.means[batch.start].copy(), batch.face[batch.start].copy()
        self.include(own, Points(batch.means, batch.face, batch.owner))

    def include(self, values: Array, points: Points) -> None:
        """Look at points; NaN counts for nothing."""
        higher = np.flatnonzero(values > self.value[points.owner])
        higher = higher[np.argsort(values[higher], kind="stable")]  # the last of a solution, its largest, stays
        whose = points.owner[higher]
        self.value[whose], self.means[whose], self.face[whose] = values[higher], points.means[higher], points.face[higher]


@step("search")
@np.errstate(all="ignore")
def price(
    problem: Problem,
    batch: Batch,
    sweep: Sweep,
    *,
    tol: float = 1e-9,
    rng: np.random.Generator | None = None,
    effort: float = 1.0,
) -> Found:
    """Look for points of log c > `tol`, by ascent steps from many starts; and say how large c is at any point seen."""
    rng = np.random.default_rng(0) if rng is None else rng
    largest, rate = _Largest(batch, sweep), np.zeros(len(batch.weights))
    if problem.fixed:
        found = _best_columns(problem, batch, sweep, largest, tol)
    else:
        rate, beside = stability_numbers(problem, batch, sweep)
        points, off = starting_points(problem, batch, sweep, beside, rng, effort)
        found = _climbed(problem, batch, sweep, largest, points, _radius(problem, batch, sweep, rate, off), tol)
    return _gathered(problem, batch, largest, rate, found)


@np.errstate(all="ignore")
def climbed_from(problem: Problem, batch: Batch, sweep: Sweep, found: Found, parts: Iterable[Points], tol: float) -> Found:
    """What was found, and what lies above `tol` where more points lead to, given in parts sorted by solution each."""
    largest, radius, more = _Largest(batch, sweep), _radius(problem, batch, sweep, found.rate, None), []
    largest.include(found.gap, found.best)
    for points in parts:
        more += _climbed(problem, batch, sweep, largest, points, radius, tol)
    new = _gathered(problem, batch, largest, found.rate, more)
    return joined(found, new.weights, new.points)._replace(gap=new.gap, best=new.best)


@np.errstate(all="ignore")
def at_rest(problem: Problem, batch: Batch, sweep: Sweep, found: Found, which: Mask) -> Found:
    """What was found, with the gaps of a mask where its points come to rest: they are taken up before they do."""
    points = stacked([found.points, found.best])
    points = points.pick((which & (found.gap > _RESTED))[points.owner])
    if problem.fixed or not len(points.owner):
        return found
    largest = _Largest(batch, sweep)
    largest.include(found.gap, found.best)
    before = np.full(len(points.owner), -np.inf)
    for _ in range(_MOST_STEPS):
        value, _, new = ascent(problem, batch.beta, sweep.log_z, *points)
        largest.include(value, points)
        rising = value > before + _RISEN * (1.0 + np.abs(value))
        if not rising.any():
            break
        points, before = Points(new, points.face, points.owner).pick(rising), value[rising]
    best = Points(largest.means, largest.face, found.best.owner)
    return found._replace(gap=np.maximum(largest.value, 0.0), best=best)


def joined(found: Found, weights: Array, points: Points) -> Found:
    """With more atoms, the best last."""
    order = np.argsort(np.append(found.points.owner, points.owner), kind="stable")
    return found._replace(weights=np.append(found.weights, weights)[order], points=stacked([found.points, points]))


def _gathered(
    problem: Problem, batch: Batch, largest: _Largest, rate: Array, found: list[tuple[Array, Array, Points]]
) -> Found:
    """The new atoms of weights, log c and points that came to rest, those that are worth it, each once."""
    best = Points(largest.means, largest.face, np.arange(len(batch.beta)))
    gap = np.maximum(largest.value, 0.0)
    if not found:
        nothing = Points(np.zeros((0, problem.k)), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
        return Found(np.zeros(0), nothing, gap, best, rate)
    weights, values = (np.concatenate([part[i] for part in found]) for i in (0, 1))
    points = Points(*(np.concatenate([getattr(part[2], name) for part in found]) for name in Points._fields))
    order = np.lexsort((-values, points.owner))
    weights, values, points = weights[order], values[order], points.pick(order)
    good = values > _WORTHWHILE * gap[points.owner]
    if not problem.fixed:
        good &= distinct(problem, batch.beta, points.owner, points.means, points.face, _MET)
    return Found(weights[good], points.pick(good), gap, best, rate)


def _best_columns(
    problem: Problem, batch: Batch, sweep: Sweep, largest: _Largest, tol: float
) -> list[tuple[Array, Array, Points]]:
    """The same where the only points are the columns of a matrix: exact."""
    points = columns(problem, len(batch.beta))
    values, _, _, terms = log_c(problem, batch.beta, sweep.log_z, *points)
    largest.include(values, points)
    held = np.zeros((len(batch.beta), problem.k), dtype=bool)
    held[batch.owner, problem.column_of[np.argmax(batch.means, axis=1)]] = True
    new = (values > tol) & ~held[points.owner, np.argmax(points.means, axis=1)]
    part = terms[new] / problem.expectation(terms[new])[:, None]
    return [(_shares(values[new], problem.expectation(part**2)), values[new], points.pick(new))]


def _shares(values: Array, moment: Array) -> Array:
    """The weights of new atoms: Newton's step from 0 along the mixture with each, ``(c - 1) / (moment c^2 - 2 c + 1)``."""
    part = np.exp(-values)  # 1 / c, for c may overflow
    return np.clip((part - part**2) / np.maximum(moment - 2.0 * part + part**2, 1e-12), *_SHARE)


def _climbed(
    problem: Problem, batch: Batch, sweep: Sweep, largest: _Largest, points: Points, radius: Array, tol: float
) -> list[tuple[Array, Array, Points]]:
    """Weights, log c and points that came to rest above `tol`; a point that will stay below, or meets an atom, is dropped."""

    def swallowed(points: Points, V: Array) -> Mask:
        distance, atom = nearest(problem, batch, sweep.V, points.owner, points.means, V, points.face)
        return np.asarray(distance <= radius[atom])

    V = problem.link(points.means, points.face)[0]
    points = points.pick(~problem.outside(points.means, V) & ~swallowed(points, V))
    fallback, floor, found = points.means, np.full(len(points.means), -np.inf), []
    trust = np.ones(len(points.means))  # the part of each extrapolation that is made: less where the last one led lower
    for climb in range(_MOST_CLIMBS):
        if not len(points.means):
            break
        value, V0, once = ascent(problem, batch.beta, sweep.log_z, *points)
        bad = ~(value >= floor)  # the extrapolation led lower, or out of the domain
        trust = np.where(bad, 0.25 * trust, np.minimum(2.0 * trust, 1.0))
        if bad.any():
            points.means[bad] = fallback[bad]
            value[bad], V0[bad], once[bad] = ascent(problem, batch.beta, sweep.log_z, *points.pick(bad))
        largest.include(value, points)
        here = points._replace(means=once)
        value, V1, twice = ascent(problem, batch.beta, sweep.log_z, *here)
        largest.include(value, here)
        ahead = points._replace(means=twice)
        V2 = problem.link(twice, points.face)[0]
        pace = _pace(batch.beta[points.owner], inner(once - points.means, V1 - V0), inner(twice - once, V2 - V1))
        high = (value > _CLEAR) & (climb >= _PATIENT) | (climb == _MOST_CLIMBS - 1)
        ready = ((pace.left < _NEAR_TOP * value) & ~pace.growing | high) & (value > tol)
        if ready.any():
            resting = here.pick(ready)
            moment = second_moment(problem, batch.beta, sweep.log_z, *resting)
            found.append((_shares(value[ready], moment), value[ready], resting))
        rising = pace.growing | (pace.step > _STILL) | (value + _HOPE * pace.left > tol)
        go = ~ready & rising & np.isfinite(twice).all(axis=1) & ~swallowed(ahead, V2)
        go[go] = distinct(problem, batch.beta, ahead.owner[go], twice[go], ahead.face[go], _MET_ON_THE_WAY, V2[go])
        fallback, floor, trust = twice[go], (value + 0.5 * pace.step)[go], trust[go]
        further = (trust * pace.factor[go])[:, None] * (fallback - once[go])
        points = Points(fallback + further, points.face[go], points.owner[go])
    return found


class _Pace(NamedTuple):
    """What two ascent steps tell of points, (p,).

    The squared natural length of the second; whether steps grow; what log c will still rise, about; and how many such steps to go
    on: the sum of all that would follow, if each were shorter by the same factor.
    """

    step: Array
    growing: Mask
    left: Array
    factor: Array


def _pace(b: Array, first: Array, second: Array) -> _Pace:
    """From ``<dM, dV>`` of two steps."""
    first, second = first * b, np.maximum(second * b, 0.0)
    rate = np.sqrt(second / np.maximum(first, 1e-300))
    growing, rate = (rate >= 1.0) & (second > 1e-24), np.minimum(rate, _SLOWEST)
    longest = 1.0 / np.sqrt(np.maximum(second, 1e-300))  # a natural length of 1
    factor = np.minimum(np.where(growing, _AWAY_FROM_SADDLE, rate / (1.0 - rate)), longest)
    return _Pace(second, growing, 0.5 * second / (1.0 - rate**2), factor)


def _radius(problem: Problem, batch: Batch, sweep: Sweep, rate: Array, off: Points | None) -> Array:
    """Squared natural distances (m,) at which atoms swallow points: less the nearer an atom is to dividing."""
    radius = np.maximum(_NEAR * np.maximum(1.0 - rate, 0.0) ** 2, _LEAST_RADIUS)
    radius[(sweep.residual > _STATIONARY)[batch.owner]] = 0.0
    if problem.faces is not None or problem.is_sparse:
        radius = np.minimum(radius, _NEAR_FACES)
    if off is not None and len(off.means):
        V = problem.link(off.means, off.face)[0]
        distance, atom = nearest(problem, batch, sweep.V, off.owner, off.means, V, off.face)
        near = np.isfinite(distance)
        np.minimum.at(radius, atom[near], 0.1 * distance[near])
    return radius
