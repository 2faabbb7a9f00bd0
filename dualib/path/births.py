"""Births, deaths and splits in the links of a chain: the first touching of each, certified, and a solution on its far side."""

from __future__ import annotations

import numpy as np

from dualib.distortions import Array, Mask
from dualib.engine.batch import Batch, nearest
from dualib.engine.optimum import certify
from dualib.engine.problem import Ints, Problem
from dualib.engine.search import price
from dualib.engine.sweep import Sweep, log_c
from dualib.path.branch import followed, polished, predicted, tangents
from dualib.path.chain import Bifurcation, Chain, Piece, arranged, single
from dualib.path.touching import Touching, touching

TOUCH = 1e-9  # gap allowed at an event, nats
LOCATED = 1e-10  # relative accuracy stated of a root
TIED = 1e-9  # difference in log beta below which clusters are born at once
ALONE = 0.1  # squared natural distance from the other atoms at which a newborn cluster is safely followed by Newton's method
BEYOND = 1e-5  # in log beta, from an event to the solution on its far side
FARTHER = (1e-3, 1e-4, 1e-5, 1e-6)  # the same where atoms lie close, and are told apart only where they have parted
STEPS_BACK = 4  # of the branch from there to BEYOND
SMOOTH, JUMPED = 1e3, 0.03  # weight of what grows out of an event, by the distance in log beta from it, and at most


def births(chain: Chain, links: Ints) -> tuple[list[Piece], list[int]]:
    """The first birth in links across which clusters are only born, the last death in those where they only die.

    And the links in which what touches first is a jump: its clusters begin with weight.
    """
    if not len(links):
        return [], []
    problem, rising = chain.problem, chain.born[links] > 0
    atoms = [chain.odd(i, rise) for i, rise in zip(links, rising, strict=True)]
    link, rise = (np.repeat(values, [len(rows) for rows in atoms]) for values in (links, rising))
    rows = np.concatenate(atoms)
    branch = chain.batch.copied(np.where(rise, link, link + 1))[0]
    ends = chain.log_beta[link], chain.log_beta[link + 1]
    found = touching(problem, branch, chain.batch.means[rows], chain.batch.face[rows], *ends, rise)
    first, tied = _leading(found, link, rise)
    if len(first):
        at = found.branch.copied(first)[0]
        certain = price(problem, at, Sweep(problem, at)).gap <= TOUCH
        first, tied = first[certain], [some for some, ok in zip(tied, certain, strict=True) if ok]
    if not len(first):
        return [], []
    sign = np.where(rise[first], 1.0, -1.0)
    room = np.where(rise[first], ends[1][first] - found.log_beta[first], found.log_beta[first] - ends[0][first])
    far, smooth = _beyond(problem, found, first, tied, sign, room)
    pieces: list[Piece] = []
    for j in np.flatnonzero(smooth):
        one, up = first[j], bool(rise[first[j]])
        event = Bifurcation(
            "split" if found.divides[one] else "appearance", float(np.exp(found.log_beta[one])), len(tied[j]), 2.0 * LOCATED, True
        )
        near = single(found.branch, one)
        near.beta[:] = event.beta
        solutions = [near, *far[j]] if up else [*far[j][::-1], near]
        events = [event] + [None] * len(far[j]) if up else [None] * (len(far[j]) - 1) + [event, None]
        places = link[one] + np.linspace(0.2, 0.8, len(solutions))
        pieces += list(zip(places.tolist(), solutions, events, strict=True))
    return pieces, [int(link[one]) for one, ok in zip(first, smooth, strict=True) if not ok]


def _leading(found: Touching, link: Ints, rising: Mask) -> tuple[Ints, list[Ints]]:
    """Of each link the touching that comes first along its branch (by number), and those tied with it."""
    first, tied = [], []
    along = np.where(rising, found.log_beta, -found.log_beta)
    for i in np.unique(link):
        mine = np.flatnonzero((link == i) & np.isfinite(along))
        if len(mine):
            one = mine[np.argmin(along[mine])]
            first.append(one)
            tied.append(mine[along[mine] < along[one] + TIED])
    return np.array(first, dtype=np.int64), tied


def _beyond(
    problem: Problem, found: Touching, first: Ints, tied: list[Ints], sign: Array, room: Array
) -> tuple[list[list[Batch]], Mask]:
    """Solutions past each touching, nearest first, and whether they grow out of it: with the clusters born there and no other."""
    base = found.branch.copied(first)[0]
    by = sign * np.minimum(BEYOND, 0.5 * np.maximum(room, 2e-7))
    start = _grown(problem, base, found, tied, by)
    new, _, arrives = followed(problem, start, start.beta)
    smooth = arrives & (np.array([len(some) for some in tied]) == 1) & _alone(problem, base, found, first)
    smooth &= _continuous(problem, base, start, new, by)
    far = [[single(new, j)] for j in range(len(first))]
    for step in FARTHER:
        left = np.flatnonzero(~smooth & (room > step))
        if not len(left):
            continue
        base, by = found.branch.copied(first[left])[0], sign[left] * step
        start = _grown(problem, base, found, [tied[j] for j in left], by)
        new = polished(problem, certify(problem, start, coarse=False).batch)
        ok = np.flatnonzero(_continuous(problem, base, start, new, by))
        smooth[left[ok]] = True
        for j, back in zip(ok, _back(problem, new.copied(ok)[0], base.beta[ok], by[ok]) if len(ok) else [], strict=True):
            far[left[j]] = [*back, single(new, j)]
    return far, smooth


def _alone(problem: Problem, batch: Batch, found: Touching, first: Ints) -> Mask:
    """Which newborn clusters lie far from all atoms of their solutions."""
    V, means, face = problem.link(batch.means, batch.face)[0], found.means[first], found.face[first]
    return nearest(problem, batch, V, np.arange(len(first)), means, problem.link(means, face)[0], face)[0] > ALONE


def _continuous(problem: Problem, base: Batch, start: Batch, new: Batch, by: Array) -> Mask:
    """Which solutions have as many atoms as their starts, and no more weight off the atoms of the branch than grows so soon."""
    V, link = problem.link(base.means, base.face)[0], problem.link(new.means, new.face)[0]
    apart = nearest(problem, base, V, new.owner, new.means, link, new.face)[0]
    moved = new.total(new.weights * np.minimum(apart, 1.0))
    return (new.counts == start.counts) & (moved < np.minimum(SMOOTH * np.abs(by), JUMPED))


def _grown(problem: Problem, base: Batch, found: Touching, tied: list[Ints], by: Array) -> Batch:
    """Starts for solutions past touchings (S,), a step in log beta away: the branches with the clusters that are born there."""
    tangent, _ = tangents(problem, base, Sweep(problem, base))
    start = predicted(problem, base, tangent, by)
    owner, which = np.repeat(np.arange(len(tied)), [len(some) for some in tied]), np.concatenate(tied)
    means, face = found.means[which], found.face[which]
    value, _, _, terms = log_c(problem, start.beta, Sweep(problem, start).log_z, means, face, owner)
    excess = np.expm1(value)
    weights = np.clip(excess / np.maximum(terms**2 @ problem.px - 2.0 * excess - 1.0, 1e-12), 1e-12, 0.1)
    return start.joined(weights, means, owner, face).keep(np.ones(len(start.weights) + len(weights), dtype=bool))


def _back(problem: Problem, batch: Batch, origin: Array, by: Array) -> list[list[Batch]]:
    """The same branches nearer to their events, as near as BEYOND: one solution each, or none where it cannot be followed so far."""
    near, good = batch, np.ones(len(batch.beta), dtype=bool)
    for part in np.linspace(0.0, 1.0, STEPS_BACK + 1)[1:]:
        step = np.abs(by) * (np.minimum(BEYOND / np.abs(by), 1.0)) ** part
        near, _, arrives = followed(problem, near, origin * np.exp(np.sign(by) * step))
        good &= arrives
    good &= np.abs(by) > 2.0 * BEYOND
    return [[single(near, j)] if good[j] else [] for j in range(len(good))]
