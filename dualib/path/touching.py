"""Births and splits of clusters: where log c at a maximum beside the atoms of a branch touches 0, or one of its atoms divides.

Both are roots along the branch that lacks the new cluster, which is smooth there. All of a batch are sought at once: Newton's method
in log beta for the height of the maximum, where it exists; where it does not (yet) exist, steps towards the place at which the
nearest atom would bear it (see `Ridge`), or divide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dualib.distortions.interface import Array, Mask
from dualib.engine.batch import Batch, in_order
from dualib.engine.problem import Ints, Problem, inner
from dualib.path.branch import BROKEN, TANGENT, distances, in_place_of, predicted, settled, tangents, whole
from dualib.path.maxima import APART, BESIDE, Maxima, maxima_near, members, newtons_steps, ridges

ROOT = 1e-11  # accuracy of a root, in log beta
ROUNDED = 3e-14  # height, by distance from the nearest atom, that is 0 within rounding
DIVIDES = 1e-11  # stability number's distance from the one at which the atom bears or divides
SPLIT = 1e-10  # ... from 1, below which a birth is a split
LEEWAY = 2e-3  # in log beta, that a root may lie outside its interval: points are optimal within a tolerance only
NOWHERE = 1e-9  # width, in log beta, of an interval in which no root was found
SLOWEST, FASTEST = 1e-3, 100.0  # derivative of a stability number by log beta, per step, that is believed
MOST_STEPS, MOST_LOST, MOST_IDLE = 10, 1, 3
SHORTER = 0.75  # part of the shortest step so far, above which a step is idle
LEFT = 0.01  # part of a step out of the interval that is left inside, at which no root is expected there


@dataclass
class Touching:
    """Where branches lose optimality: log betas (E,), NaN where not found; the branches there; what touches; which atoms divide."""

    log_beta: Array
    branch: Batch
    means: Array
    face: Ints
    divides: Mask


@dataclass
class _Look:
    """What a root finding sees along its branches at one beta each, all (E,) but for the branches' atoms."""

    batch: Batch
    tangent: Array
    rests: Mask
    maxima: Maxima
    exists: Mask
    slope: Array
    number: Array  # of the nearest atom; NaN where that tells nothing
    born_at: Array
    close: Mask  # to the atom, so that only the ridge tells where the maximum touches
    flat: Mask  # the height is, still: the maximum is far closer to the atom where it touches
    beside: Array
    drift: Array  # the derivative of the maximum by log beta


def _look(problem: Problem, batch: Batch, points: Array, face: Ints, rising: Mask) -> _Look:
    batch, sweep = settled(problem, batch)
    tangent, log_z = tangents(problem, batch, sweep)
    rests = sweep.residual < BROKEN
    maxima = maxima_near(problem, batch, sweep, points, face, np.arange(len(points)))
    odd = np.flatnonzero(~maxima.exists | ~rests | (maxima.apart < BESIDE))  # where the nearest atom tells more
    ridge = ridges(problem, batch, sweep, maxima.atom[odd])
    bears = ~maxima.exists[odd] & (ridge.distance**2 > APART) & rests[odd] & (batch.face[maxima.atom[odd]] == face[odd])
    again = odd[bears]
    if len(again):  # the maximum that the ridge bears
        _replace(maxima, again, maxima_near(problem, batch, sweep, ridge.maximum[bears], face[again], again))
    slope, drift = slopes(problem, batch.beta, log_z, maxima.means, face, maxima.q)
    # at the atom it is 0, but for an error of the tangents that is all but the same
    atom = maxima.atom
    slope -= slopes(problem, batch.beta, log_z, batch.means[atom], batch.face[atom], members(problem, sweep, atom))[0]
    exists = maxima.exists & rests & (np.where(rising, slope, -slope) > 0.0)
    number, born_at, distance, beside = (
        np.full(len(points), np.nan),
        np.ones(len(points)),
        np.ones(len(points)),
        maxima.means.copy(),
    )
    number[odd], born_at[odd], distance[odd], beside[odd] = ridge.number, ridge.born_at, ridge.distance, ridge.maximum
    flat = (maxima.apart < BESIDE) & (maxima.apart > 4.0 * distance**2) & (number > born_at)
    close = distance**2 <= APART
    return _Look(batch, tangent, rests, maxima, exists, slope, number, born_at, close, flat, beside, drift)


def _replace(maxima: Maxima, which: Ints, other: Maxima) -> None:
    good = other.exists & (other.atom == maxima.atom[which])
    for name, values in vars(maxima).items():
        values[which[good]] = getattr(other, name)[good]


def slopes(problem: Problem, beta: Array, log_z: Array, means: Array, face: Ints, q: Array) -> tuple[Array, Array]:
    """The derivatives by log beta along the branches of log c at points (E, k) with members q, and of maxima that these are.

    Beta is (E,) and log Z' (E, n).
    """
    change = -(beta[:, None] * distances(problem, means, face) + log_z)
    slope = inner(q, change)
    if problem.fixed:
        return slope, np.zeros_like(means)
    drift = problem.sums(q * (change - slope[:, None]))
    return slope, newtons_steps(problem, beta, q, means - drift, means.copy(), face)[0]


def drifted(problem: Problem, points: Array, face: Ints, way: Array) -> Array:
    """Points (E, k) a way further, where that is inside their domain."""
    further = points + way
    outside = problem.outside(further, problem.link(further, face)[0])
    return np.where(outside[:, None], points, further)


@dataclass
class _Hunt:
    """What root findings know by now, (E,) each: those that go on.

    Attributes
    ----------
    numbers : which of all
    points, face : where the maximum is looked for
    sign : 1 where the cluster is born as beta rises, else -1
    before, after : log betas between which the root is, in the direction of `sign`
    end : where its interval ends
    lost, idle : how often a branch was not to be had; steps that were hardly shorter than those before
    shortest : of the steps
    number, at : stability number of the nearest atom at the look before, and where that was; NaN at first
    """

    numbers: Ints
    points: Array
    face: Ints
    sign: Array
    before: Array
    after: Array
    end: Array
    lost: Ints
    idle: Ints
    shortest: Array
    number: Array
    at: Array

    def pick(self, which: Mask) -> _Hunt:
        """Those of a mask."""
        return _Hunt(*(column[which] for column in vars(self).values()))

    def aimed(self, look: _Look) -> tuple[Array, Mask, Mask, Mask]:
        """Log betas to go to; where that is a root; where one at which the atom bears or divides; and which root findings end."""
        at, height, sign, off = np.log(look.batch.beta), look.maxima.height, self.sign, look.number - look.born_at
        beyond = ~look.rests | (off >= 0.0) & ~look.exists | look.exists & (height > 0.0)
        self.before, self.after = np.where(beyond, self.before, at), np.where(beyond, at, self.after)
        rate = (look.number - self.number) / (at - self.at)
        rate = np.where((sign * rate > SLOWEST) & (np.abs(rate) < FASTEST), rate, sign)
        divide = look.rests & ~look.exists & look.close & (np.abs(off) < DIVIDES)
        towards = -np.where(np.abs(off) < 1e-3, 1.0, 0.9) * off / rate
        newton = look.exists & ~look.flat
        by = np.where(newton, -height / np.where(newton, look.slope, 1.0), np.where(look.rests, towards, np.nan))
        to, leeway = at + by, -LEEWAY * look.exists
        small = np.abs(height) < ROUNDED * np.sqrt(np.clip(look.maxima.apart, 0.0, 1.0))
        left = np.abs(by) * np.maximum(
            (by / self.shortest) ** 2, 10.0 * TANGENT
        )  # after this step, where slopes are that good
        left[(look.maxima.apart < BESIDE) | np.isinf(self.shortest)] = np.inf
        root = newton & ((np.minimum(np.abs(by), left) < ROOT) | small) | divide
        outside = ~((sign * (to - self.before) > leeway) & (sign * (self.after - to) > leeway)) & ~root
        left_inside = np.abs(self.after - at) < LEFT * np.abs(by)
        ended = (self.after == self.end) & (sign * (to - self.after) > LEEWAY) & left_inside
        to[outside] = 0.5 * (self.before + self.after)[outside]
        step = np.abs(to - at)
        self.lost += ~look.rests
        self.idle += outside | ~(step < SHORTER * self.shortest)
        self.shortest, self.number, self.at = np.fmin(self.shortest, step), look.number, at
        nowhere = ~look.exists & (np.abs(self.after - self.before) < NOWHERE)
        return to, root, divide, root | nowhere | ended | (self.lost > MOST_LOST) | (self.idle > MOST_IDLE)


def touching(problem: Problem, batch: Batch, points: Array, face: Ints, low: Array, high: Array, rising: Mask) -> Touching:
    """Where log c at the maximum near each point (E, k) touches 0 along each branch, or its nearest atom divides.

    The branches are those that lack the cluster, at one end of the interval from `low` to `high` in log beta: the lower
    one where the cluster is born as beta rises (`rising`), else the upper one.
    """
    E = len(batch.beta)
    found, means, divides = np.full(E, np.nan), points.copy(), np.zeros(E, bool)
    before, after = np.where(rising, low, high), np.where(rising, high, low)
    never, unknown, sign = np.zeros(E, dtype=np.int64), np.full(E, np.nan), np.where(rising, 1.0, -1.0)
    hunt = _Hunt(
        np.arange(E), points, face, sign, before, after, after, never, never.copy(), np.full(E, np.inf), unknown, unknown
    )
    good, tangent, finished = batch, np.zeros((len(batch.weights), 1 + problem.k)), []
    for _ in range(MOST_STEPS):
        look = _look(problem, batch, hunt.points, hunt.face, hunt.sign > 0.0)
        to, root, divide, done = hunt.aimed(look)
        found[hunt.numbers[root]] = to[root]
        means[hunt.numbers[root]] = np.where(look.exists[:, None], look.maxima.means, look.beside)[root]
        divides[hunt.numbers[divide & (1.0 - look.born_at < SPLIT)]] = True
        good, rows = in_place_of(good, look.batch, look.rests)
        tangent = np.where(rows[:, None], look.tangent, tangent)
        moved = drifted(problem, look.maxima.means, hunt.face, (to - hunt.at)[:, None] * look.drift)
        hunt.points = np.where(look.exists[:, None], moved, hunt.points)
        batch = predicted(problem, good, tangent, np.exp(to))
        if done.any():
            finished.append((hunt.numbers[done], batch.pick(done)[0]))
        hunt, (batch, rows) = hunt.pick(~done), batch.pick(~done)
        if not len(hunt.numbers):
            break
        good, tangent = good.pick(~done)[0], tangent[rows]
    if len(hunt.numbers):
        finished.append((hunt.numbers, good))
    branch, sweep = settled(problem, in_order(finished))
    return Touching(np.where(whole(problem, branch, sweep), found, np.nan), branch, means, face, divides)
