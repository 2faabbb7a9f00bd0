"""Births, deaths and splits in the links of a chain: the first touching of each, certified, and a solution on its far side."""

from __future__ import annotations

import dataclasses

import numpy as np

from dualib.distortions.bottlenecks import IB
from dualib.distortions.interface import Array, Mask
from dualib.engine.batch import Batch, in_order, moved
from dualib.engine.descent import needed
from dualib.engine.problem import Ints, Problem, inner
from dualib.engine.starts import Points
from dualib.engine.sweep import Sweep
from dualib.path.beyond import TOUCH, Past, beyond, looked_at
from dualib.path.chain import Bifurcation, Chain, Piece
from dualib.path.inside import Sought
from dualib.path.maxima import maxima_near
from dualib.path.touching import Touching, touching

MOST_TRIES = 4  # touchings, each of what was lacking at the last, before the first one is found
LOCATED = 1e-10  # relative accuracy stated of a root
TIED = 1e-9  # difference in log beta below which clusters are born at once
TWO = 1e-3  # squared natural distance of two clusters that are born at once
NOTHING = 1e-50  # of a mean, which sweeps would take to 0


def births(chain: Chain, sought: Sought, tries: int = MOST_TRIES) -> tuple[list[Piece], list[int]]:
    """The first birth of each group, where it is certain; and the links in which what touches first is a jump.

    Where another cluster is lacking already when one touches, as one off its face is, it is that one's birth, after so many `tries`.
    """
    problem = chain.problem
    means, face = _narrowed(problem, sought.means, sought.face)
    low, high = chain.log_beta[sought.link], chain.log_beta[sought.link + 1]
    found = touching(problem, sought.branch, means, face, low, high, sought.rise)
    # an atom of a branch that is next to nothing where it is touched is born there, too
    found = dataclasses.replace(found, branch=needed(found.branch, Sweep(problem, found.branch), TIED))
    first, tied = _leading(found, sought.group, sought.rise)
    pieces, leaping = list[Piece](), list[int]()
    if len(first):
        states = found.branch.copied(first)[0]
        seen = looked_at(problem, states)
        certain, link = seen.gap <= TOUCH, sought.link[first]
        others, one_each = np.unique(np.where(np.isin(link, link[certain]), -1, link), return_index=True)
        others, one_each = others[others >= 0], one_each[others >= 0]
        if tries > 1 and len(others):
            branch, best = states.copied(one_each)[0], seen.best.pick(one_each)
            again = Sought(others, others, sought.rise[first[one_each]], best.means, best.face, branch)
            pieces, leaping = births(chain, again, tries - 1)
        first, tied = first[certain], [some for some, ok in zip(tied, certain, strict=True) if ok]
    if not len(first):
        return pieces, leaping
    order = np.lexsort((found.log_beta[first], sought.link[first]))
    link, log_beta = sought.link[first[order]], found.log_beta[first[order]]
    order = order[(np.diff(link, prepend=-1) > 0) | (np.diff(log_beta, prepend=-np.inf) > TIED)]  # each once
    first = first[order]
    tied = _tied_too(problem, found, first, [tied[i] for i in order], sought.link)
    sign = np.where(sought.rise[first], 1, -1)
    room, other_ends = _ahead(chain, sought.link[first], found.log_beta[first], found.branch.copied(first)[0], sign)
    begin, end = (np.where(sought.rise, *pair)[first] for pair in ((low, high), (high, low)))
    at = found.log_beta[first]
    inside = (sign * (at - begin) > -LOCATED) & (sign * (end - at) > 0.0)  # at the end that it begins from, perhaps
    owner, rows = np.repeat(np.arange(len(first)), [len(some) for some in tied]), np.concatenate(tied)
    points = Points(found.means[rows], found.face[rows], owner)
    branches = found.branch.copied(first)[0]
    past = Past(branches, points, found.divides[first], sign, np.maximum(room, 2e-9), other_ends)
    far, smooth = beyond(problem, past)
    smooth &= inside
    for j in np.flatnonzero(smooth):
        one = first[j]
        kind = "split" if found.divides[one] else "appearance"
        beta = float(np.exp(np.clip(found.log_beta[one], low[one], high[one])))
        near = moved(found.branch.one(one), beta)
        many = len(far[j][0].weights) - len(near.weights)
        event = Bifurcation(kind, beta, many, 2.0 * LOCATED, True)
        solutions, events = [near, *far[j]], [event, *[None] * len(far[j])]
        if sign[j] < 0:
            solutions, events = solutions[::-1], [*events[1:-1], event, None]
        pieces += [(int(sought.link[one]), *pair) for pair in zip(solutions, events, strict=True)]
    return pieces, leaping + [int(sought.link[one]) for one, ok in zip(first, smooth, strict=True) if not ok]


def _ahead(chain: Chain, link: Ints, log_beta: Array, branches: Batch, sign: Ints) -> tuple[Array, Batch]:
    """What follows on touchings, sorted in each link: how far ahead in log beta, and the solution there.

    That is the next touching, half of the way to which is left to it, or the end of the link.
    """
    following = np.clip(np.arange(len(link)) + sign, 0, len(link) - 1)
    shared = (link[following] == link) & (following != np.arange(len(link)))
    ends = chain.batch.copied(link + (sign > 0))[0]
    room = sign * (np.log(ends.beta) - log_beta)
    room[shared] = 0.5 * np.abs(log_beta[following] - log_beta)[shared]
    parts = [(np.flatnonzero(~shared), ends.pick(~shared)[0])] if not shared.all() else []
    if shared.any():
        parts.append((np.flatnonzero(shared), branches.copied(following[shared])[0]))
    return room, in_order(parts)


def _narrowed(problem: Problem, means: Array, face: Ints) -> tuple[Array, Ints]:
    """Points of the IB whose ascent has all but left some y behind: on the face without them, where Newton's method can end."""
    if problem.faces is None or type(problem.distortion) is not IB:
        return means, face
    masks = problem.faces.masks[face]
    gone = masks & (means < NOTHING)
    return np.where(gone, 0.0, means), problem.faces.numbers(masks & ~gone)


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


def _tied_too(problem: Problem, found: Touching, first: Ints, tied: list[Ints], link: Ints) -> list[Ints]:
    """Those tied with touchings, with what touches there, too, though it was sought on another branch."""
    pairs = [(j, i) for j, one in enumerate(first) for i in np.setdiff1d(np.flatnonzero(link == link[one]), tied[j])]
    if not pairs:
        return tied
    owner, others = (np.array(side) for side in zip(*pairs, strict=True))
    at, face = found.branch.copied(first)[0], found.face[others]
    maxima = maxima_near(problem, at, Sweep(problem, at), found.means[others], face, owner)
    own = found.means[first[owner]]
    way = problem.link(maxima.means, face)[0] - problem.link(own, face)[0]
    touches = maxima.exists & (np.abs(maxima.height) < TOUCH) & (at.beta[owner] * inner(maxima.means - own, way) > TWO)
    found.means[others[touches]] = maxima.means[touches]
    return [np.append(some, others[touches & (owner == j)]) for j, some in enumerate(tied)]
