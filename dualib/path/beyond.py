"""Solutions just past touchings: what grows out of one there tells a birth from a jump, and how many clusters are born."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dualib.distortions.interface import Array, Mask
from dualib.engine.batch import Batch, nearest
from dualib.engine.faces import has_faces
from dualib.engine.judge import judge
from dualib.engine.optimum import certify
from dualib.engine.problem import Ints, Problem
from dualib.engine.search import Found, price
from dualib.engine.starts import Points
from dualib.engine.sweep import Sweep
from dualib.path.branch import MOST_PRODUCTS, followed, led, polished, predicted, response, settled, stepped, tangents, whole
from dualib.path.chain import together
from dualib.path.maxima import heights, ridges

TOUCH = 1e-9  # gap allowed at an event, nats
FAINT = 1e-12  # gap to which a solution past an event is closed: what a newborn cluster is worth there
# in log beta, from an event to the solution on its far side; where a cluster grows fast; where an atom divides only slowly
BEYOND, NEARER, FARTHER = 1e-5, 1e-6, 1e-3
RESPONSE = 1e-4  # relative residual of what the other atoms do as a cluster grows
AT_REST = 1e-11  # residual there; where an atom has all but divided the weights are far off with one of 1e-9
STEPS_BACK = 8  # of a branch from the far end of its link to BEYOND
CLOSE = 0.04  # twice that step, by the squared natural distance of a newborn cluster from the nearest
SMOOTH, JUMPED = 1e5, 0.03  # weight of what grows out of an event, by the distance in log beta from it, and at most

Stage = tuple[Batch, Mask]  # solutions (S,) past touchings, and which of them are to be had


class Past(NamedTuple):
    """S touchings past which solutions are sought.

    Attributes
    ----------
    branch : Batch
        The solutions there.
    points : Points
        What touches, by solution: one cluster, or several that are born at once.
    divides : (S,) bool
        Whether that is an atom of the branch.
    sign, room : (S,)
        The way on, up or down in log beta, and how far it is to what follows.
    ends : Batch
        The solution there.
    """

    branch: Batch
    points: Points
    divides: Mask
    sign: Ints
    room: Array
    ends: Batch

    def pick(self, which: Mask) -> Past:
        """Those of a mask."""
        branch, ends = (batch.pick(which)[0] for batch in (self.branch, self.ends))
        points = self.points.pick(which[self.points.owner])
        points = points._replace(owner=(np.cumsum(which) - 1)[points.owner])
        return Past(branch, points, self.divides[which], self.sign[which], self.room[which], ends)

    @property
    def first(self) -> Points:
        """Of each the first point that touches."""
        return self.points.pick(np.searchsorted(self.points.owner, np.arange(len(self.sign))))

    @property
    def alone(self) -> Mask:
        """Where one cluster is born."""
        return np.bincount(self.points.owner) == 1

    @property
    def one_more(self) -> Mask:
        """Where the solution that follows has one atom more."""
        return self.ends.counts == self.branch.counts + 1

    def ahead(self, step: float, room: Array | None = None) -> Array:
        """The betas a step in log beta on, or half of the way to what follows."""
        return self.branch.beta * np.exp(self.sign * np.minimum(step, 0.5 * (self.room if room is None else room)))


def beyond(problem: Problem, past: Past) -> tuple[list[list[Batch]], Mask]:
    """Solutions past each touching, nearest first, and whether they grow out of it, with the clusters born there and no other."""
    found: list[list[Batch]] = [[] for _ in past.sign]
    left = np.ones(len(found), dtype=bool)
    for way, step, newborn in WAYS:
        part = past.pick(left)
        stages, ok = way(problem, part, step)
        ok &= _continuous(problem, part.branch, stages[0][0])
        ways = [[batch.one(i) for batch, there in stages if there[i]] for i in range(len(ok))]
        # past a birth that is alone nothing is lacking that was not at the touching, which is certified
        check = np.flatnonzero(ok & ~(newborn & part.one_more))
        if len(check):
            ok[check] = _all_optimal(problem, [ways[i] for i in check])
        numbers = np.flatnonzero(left)
        for i in np.flatnonzero(ok):
            found[numbers[i]] = ways[i]
        left[numbers[ok]] = False
        if not left.any():
            break
    return found, ~left


def looked_at(problem: Problem, batch: Batch) -> Found:
    """What would lower solutions, and by how much: on all faces, where no ascent leads to some."""
    sweep, every = Sweep(problem, batch), np.ones(len(batch.beta), dtype=bool)
    found = price(problem, batch, sweep)
    return judge(problem, batch, sweep, found, TOUCH, prove=~every, search=every)[0] if has_faces(problem) else found


def _all_optimal(problem: Problem, ways: list[list[Batch]]) -> Mask:
    """Of which lists all solutions are optimal within TOUCH: all are looked at together."""
    number = np.repeat(np.arange(len(ways)), [len(way) for way in ways])
    gap = looked_at(problem, together([batch for way in ways for batch in way])).gap
    return np.bincount(number[gap > TOUCH], minlength=len(ways)) == 0


def _continuous(problem: Problem, base: Batch, new: Batch) -> Mask:
    """Which solutions have no more weight off the atoms of a branch than what grows between the two betas."""
    V, link = problem.link(base.means, base.face)[0], problem.link(new.means, new.face)[0]
    apart = nearest(problem, base, V, new.owner, new.means, link, new.face)[0]
    moved = new.total(new.weights * np.minimum(apart, 1.0))
    return np.asarray(moved < np.minimum(SMOOTH * np.abs(np.log(new.beta / base.beta)), JUMPED))


# ---- ways: solutions past S touchings, nearest first, and which of them may be what is sought


def _newborn(problem: Problem, past: Past, step: float) -> tuple[list[Stage], Mask]:
    """By Newton's method from a cluster with the weight that its height suggests; born close to another it grows the faster."""
    means, face, owner = past.first
    V, link = problem.link(past.branch.means, past.branch.face)[0], problem.link(means, face)[0]
    apart = nearest(problem, past.branch, V, owner, means, link, face)[0]
    near = np.minimum(past.room, np.maximum(CLOSE * apart, 4e-8))
    new, sweep = settled(problem, _grown(problem, past, past.ahead(step, near)))
    ok = past.alone & ~past.divides & whole(problem, new, sweep) & (sweep.residual < AT_REST)  # of halves neither is a newborn
    return [(new, ok)], ok


def _halves(problem: Problem, past: Past, step: float) -> tuple[list[Stage], Mask]:
    """By Newton's method from an atom's halves; and nearer from there, as far as that can be followed."""
    new, sweep = settled(problem, _divided(problem, past, past.ahead(step)))
    # else more may have come out of the atom than two halves
    ok = past.alone & past.one_more & whole(problem, new, sweep) & (sweep.residual < AT_REST)
    nearer = _back(problem, past, new) if step > BEYOND and ok.any() else []
    return [*[(batch, there & ok) for batch, there in nearer if (there | ~ok).all()][:1], (new, ok)], ok


def _from_the_end(problem: Problem, past: Past, step: float) -> tuple[list[Stage], Mask]:
    """The solution that follows, followed back."""
    stages = _back(problem, past, past.ends)
    return stages, stages[0][1].copy()


def _descended(problem: Problem, past: Past, step: float) -> tuple[list[Stage], Mask]:
    """As a descent will have it."""
    start = _grown(problem, past, past.ahead(step))
    new = polished(problem, certify(problem, start, tol=FAINT, coarse=False, proofs=False).batch)
    ok = whole(problem, new, Sweep(problem, new)) & (new.counts == start.counts)
    return [(new, ok)], ok


# each with its step in log beta, and whether it follows one newborn cluster
WAYS = (
    (_newborn, BEYOND, True),
    (_newborn, NEARER, True),
    (_halves, BEYOND, False),
    (_halves, FARTHER, False),
    (_from_the_end, BEYOND, False),
    (_descended, BEYOND, False),
)


def _back(problem: Problem, past: Past, ends: Batch) -> list[Stage]:
    """Solutions followed back to BEYOND the touchings, nearest first; and which have arrived there, with more atoms than before.

    So clusters that are born several at once, out of one perhaps, need not be guessed.
    """
    base, arrives, stages = past.branch, ends.counts > past.branch.counts, list[Stage]()
    first, last = (np.abs(np.log(beta / base.beta)) for beta in (ends.beta, past.ahead(BEYOND)))
    for part in np.linspace(0.0, 1.0, STEPS_BACK + 1)[1:]:
        ends, _, fine = followed(problem, ends, base.beta * np.exp(past.sign * first ** (1.0 - part) * last**part))
        arrives = arrives & fine
        stages.insert(0, (ends, arrives))
        if not arrives.any():
            break
    return stages


def _divided(problem: Problem, past: Past, beta: Array) -> Batch:
    """Starts at other betas (S,), with the atom that is nearest to what touches first as two halves."""
    batch, sweep = led(problem, past.branch, beta)
    means, face, owner = past.first
    distance, atom = nearest(problem, batch, sweep.V, owner, means, problem.link(means, face)[0], face)
    atom = np.where(np.isfinite(distance), atom, batch.start)
    halves, weights = ridges(problem, batch, sweep, atom).halves, 0.5 * batch.weights[atom]
    batch.weights[atom], batch.means[atom] = weights, halves[:, 0]
    return batch.joined(weights, halves[:, 1], owner, batch.face[atom])


def _grown(problem: Problem, past: Past, beta: Array) -> Batch:
    """Starts at other betas (S,): the branches with the clusters that are born."""
    tangent, _ = tangents(problem, past.branch, Sweep(problem, past.branch))
    start, (means, face, owner) = predicted(problem, past.branch, tangent, beta), past.points
    sweep, first = Sweep(problem, start), np.searchsorted(owner, np.arange(len(beta)))
    height, terms, *_ = heights(problem, start, sweep, means, face, owner)
    one, excess = terms[first], np.expm1(height)
    others, log_z = response(problem, start, sweep, -one[start.owner], one, RESPONSE, MOST_PRODUCTS)
    bent = np.where(past.alone, problem.expectation(one * log_z), np.nan)[owner]
    bent = np.where(bent > 0.0, bent, np.maximum(problem.expectation(terms**2) - 2.0 * excess - 1.0, 1e-12))
    weights = np.clip(excess / bent, 1e-12, 0.1)
    start = stepped(problem, start, others, np.where(past.alone, weights[first], 0.0))
    return start.joined(weights, means, owner, face).normalised()
