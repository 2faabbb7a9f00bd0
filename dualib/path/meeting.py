"""Whether two solutions are of one branch, however far its atoms move: each is followed towards the other until they meet."""

from __future__ import annotations

import numpy as np

from dualib.distortions.interface import Array, Mask
from dualib.engine.batch import Batch, in_order, nearest
from dualib.engine.problem import Problem, inner
from dualib.engine.sweep import Sweep, dual
from dualib.path.branch import BROKEN, TOGETHER, in_place_of, predicted, settled, tangents, whole

MOST_STEPS = 20
# of a step: natural distance that an atom moves, and how many times its weight it gains; parts of that to which steps fall that
# lead nowhere, and from which they are not made
REACH, GROWTH = 0.15, 10.0
SHORTER, LONGER, LEAST = 0.25, 1.5, 0.005
ASTRAY = 0.1  # natural distance from where the tangent leads that a branch may be: else its speed is not that of the step
SLOWEST = 1e-6  # natural length by log beta that counts as a speed


def meetings(problem: Problem, below: Batch, above: Batch) -> list[Batch | None]:
    """Of links (E,) between solutions of as many atoms the branch that both ends are of, where they meet; None where they do not.

    A step is as long as no atom moves far along the tangent, or gains many times its weight: short beside an event, or all but
    one. So the ends meet near where an atom moves fastest.
    """
    E = len(below.beta)
    found: list[Batch | None] = [None] * E
    going, reach = np.arange(E), np.full(2 * E, REACH)
    ends = in_order([(going, below), (going + E, above)])
    for _ in range(MOST_STEPS):
        tangent, to, meet = _aims(problem, ends, reach)
        guess = predicted(problem, ends, tangent, to)
        new, sweep = settled(problem, guess)
        off = np.sqrt(new.highest(new.b * inner(new.means - guess.means, sweep.V - problem.link(guess.means, guess.face)[0])))
        rests = whole(problem, new, sweep) & (off < ASTRAY)
        wanted = np.clip(np.sqrt(0.5 * ASTRAY / np.maximum(off, 1e-12)), SHORTER, LONGER)
        reach = np.minimum(np.where(sweep.residual < BROKEN, wanted, SHORTER) * reach, REACH)
        met = np.flatnonzero(meet & np.logical_and(*np.split(rests, 2)))
        if len(met):
            one, other = new.copied(met)[0], new.copied(met + len(going))[0]
            for j in np.flatnonzero(_same(problem, one, other)):
                found[going[met[j]]] = one.one(j)
        on = np.minimum(*np.split(reach, 2)) > LEAST * REACH
        on[met] = False
        if not on.any():
            break
        both = np.tile(on, 2)
        ends, going, reach = in_place_of(ends, new, rests)[0].pick(both)[0], going[on], reach[both]
    return found


def _aims(problem: Problem, ends: Batch, reach: Array) -> tuple[Array, Array, Mask]:
    """The tangents of ends (2E,), the lower ones first; the betas that each is to be led to; and which pairs (E,) meet there."""
    sweep = Sweep(problem, ends)
    tangent, _ = tangents(problem, ends, sweep)
    moves = inner(tangent[:, 1:], dual(ends, sweep.jacobian, tangent)[:, 1:])
    growth = np.abs(tangent[:, 0]) * REACH / GROWTH
    speed = ends.highest(np.maximum(np.sqrt(np.maximum(moves, 0.0)), growth))
    lower, upper = np.split(np.log(ends.beta), 2)
    up, down = np.split(reach / np.maximum(speed, SLOWEST), 2)
    meet, middle = up + down >= upper - lower, lower + (upper - lower) * up / (up + down)
    to = np.append(np.where(meet, middle, lower + up), np.where(meet, middle, upper - down))
    return tangent, np.exp(to), meet


def _same(problem: Problem, one: Batch, two: Batch) -> Mask:
    """Which solutions, at rest, have the same atoms, in any order."""
    V, link = problem.link(one.means, one.face)[0], problem.link(two.means, two.face)[0]
    distance, mate = nearest(problem, two, link, one.owner, one.means, V, one.face)
    off = ~(distance < TOGETHER) | (np.bincount(mate, minlength=len(two.weights))[mate] > 1)
    return np.asarray((one.counts == two.counts) & (np.bincount(one.owner[off], minlength=len(one.beta)) == 0))
