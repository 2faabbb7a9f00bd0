"""Clusters that are born and die again, or the other way round, between two solutions of a chain whose atoms match.

Nothing tells of them but what there is at both ends. The maximum that becomes such a cluster is there, a little below 0: so at
every solution the maxima of log c near 0 are looked for; two of neighbours that belong together have heights and slopes, and where
the cubic through these comes above 0 in between, or near it, a birth is sought. A cluster that dies and comes back loses weight at
the lower end and gains it at the upper one. Beside a jump, or as one takes another's place, a cluster ends elsewhere than it was
going to.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dualib.distortions.interface import Array
from dualib.engine.batch import Batch, across_faces, distinct, nearest
from dualib.engine.problem import Ints, Problem, inner
from dualib.engine.starts import Points, for_each, stability_numbers, stacked, starting_points
from dualib.engine.sweep import Sweep, log_c
from dualib.path.branch import radius, tangents
from dualib.path.maxima import approached, maxima_near
from dualib.path.touching import slopes

CLIMBS = 8  # ascent steps from every source
NEAR = 0.05  # log c below 0 of a maximum that is looked at
# squared natural distance at which points are one, on the way and in the end, and at which one is an atom's
APART, MET, SWALLOWED = 1e-3, 0.1, 0.05
# Newton's steps of a round, after which points that have met, or come to an atom, are dropped, and by rounds the squared natural
# length of the last of them in points that get nowhere
STEPS, WANDERS = 3, (1.0, 0.05)
SHARES = np.linspace(0.0, 1.0, 33)[1:-1, None]  # of a link, at which a cubic is looked at
# parts of the depth of the higher end, and of what height changes by at its rate there, by which the cubic may miss 0
MARGIN, SLACK = 0.3, 0.4
LEAP = 0.15  # natural distance by which an atom ends elsewhere than its tangents say


class Suspects(NamedTuple):
    """Where links, by their lower ends, may hide something.

    Attributes
    ----------
    link : (E,) int, points : Points, beta : (E,)
        Births: near which maximum of log c, owners counting them, and where that would be highest.
    odd : (D,) int, at : (D,)
        Links in which an atom may die and come back, or leap, and betas there.
    """

    link: Ints
    points: Points
    beta: Array
    odd: Ints
    at: Array


@np.errstate(all="ignore")
def suspects(problem: Problem, batch: Batch, links: Ints, beside: Array) -> Suspects:
    """What links whose atoms match may hide, by both ends, which may be `beside` an event, so far (S,) from it in log beta."""
    nobody = Points(np.zeros((0, problem.k)), np.zeros(0, np.int64), np.zeros(0, np.int64))
    nothing = Suspects(links[:0], nobody, np.zeros(0), links[:0], np.zeros(0))
    if problem.fixed or not len(links):
        return nothing
    ends = np.union1d(links, links + 1)
    batch, links, beside = batch.copied(ends)[0], np.searchsorted(ends, links), beside[ends]
    sweep = Sweep(problem, batch)
    tangent, log_z = tangents(problem, batch, sweep)
    odd, beta = _odd(problem, batch, sweep, links, tangent, beside)
    nothing = nothing._replace(odd=ends[odd], at=beta)
    points = _survivors(problem, batch, sweep, _all_maxima(problem, batch, sweep))
    if not len(points.means):
        return nothing
    found = maxima_near(problem, batch, sweep, *points)
    slope = slopes(problem, batch.beta[points.owner], log_z[points.owner], found.means, points.face, found.q)[0]
    good = found.exists & (found.height > -NEAR) & (found.apart > SWALLOWED)
    within = np.full(len(points.owner), SWALLOWED)  # of an atom on another face, whose height is that of rounding
    good &= across_faces(problem, batch, points.owner, found.means, points.face, within) < 0
    points = Points(found.means, points.face, points.owner).pick(good)
    height, slope = found.height[good], slope[good]
    order = np.lexsort((-height, points.owner))
    points, height, slope = points.pick(order), height[order], slope[order]
    alone = distinct(problem, batch.beta, points.owner, points.means, points.face, MET)
    link, points, beta = _paired(problem, batch, links, points.pick(alone), height[alone], slope[alone])
    return nothing._replace(link=ends[link], points=points, beta=beta)


def _odd(problem: Problem, batch: Batch, sweep: Sweep, links: Ints, tangent: Array, beside: Array) -> tuple[Ints, Array]:
    """The links, each once, in which some atom has no weight, by the cubic through that and its slope at both ends; and where.

    And those, by their middles, in which one leaps: it ends elsewhere than the tangents (m, 1 + k) at both ends say.
    """
    lower = np.flatnonzero(np.isin(batch.owner, links))
    distance, mate = nearest(
        problem, batch, sweep.V, batch.owner[lower] + 1, batch.means[lower], sweep.V[lower], batch.face[lower]
    )
    lower, mate = lower[np.isfinite(distance)], mate[np.isfinite(distance)]  # not where one comes to another face
    above = batch.owner[lower] + 1
    step, slope = np.log(batch.beta[above] / batch.beta[above - 1]), tangent[:, 0] * batch.weights
    weights = _cubic(batch.weights[lower], batch.weights[mate], step * slope[lower], step * slope[mate])
    dies = (weights.min(axis=0) <= 0.0) & (slope[lower] < 0.0) & (slope[mate] > 0.0)
    jacobian = problem.jacobian(0.5 * (batch.means[lower] + batch.means[mate]), batch.face[lower])
    leaps = np.ones(len(lower), dtype=bool)
    for first, second in _shares(step, beside[above - 1], beside[above]):
        way = (
            batch.means[mate] - batch.means[lower] - first[:, None] * tangent[lower, 1:] - second[:, None] * tangent[mate, 1:]
        )
        leaps &= ~(batch.b[lower] * inner(way, jacobian.times(way)) <= LEAP**2)  # not a number beside no event
    which = np.flatnonzero(dies | leaps)
    share = np.where(dies, SHARES[np.argmin(weights, axis=0), 0], 0.5)
    link, first_of_link = np.unique(batch.owner[lower[which]], return_index=True)
    which = which[first_of_link]
    return link, batch.beta[link] * np.exp(share[which] * step[which])


def _shares(step: Array, since: Array, until: Array) -> tuple[tuple[Array, Array], ...]:
    """What to multiply the tangents at both ends with to come from one to the other, over steps (p,) in log beta, in three ways.

    Evenly; and after or before an event at the distances (p,) `since` and `until`, from which on clusters move with its root.
    """
    return (0.5 * step, 0.5 * step), (np.sqrt(since * step), step), (step, np.sqrt(until * step))


def _cubic(one: Array, two: Array, slope: Array, other: Array) -> Array:
    """Values (31, p) at `SHARES` of the way of the cubics with such values and slopes at its ends."""
    left = 1.0 - SHARES
    rising = SHARES**2 * (3.0 - 2.0 * SHARES)
    return np.asarray((1.0 - rising) * one + SHARES * left**2 * slope + rising * two - SHARES**2 * left * other)


def _all_maxima(problem: Problem, batch: Batch, sweep: Sweep) -> Points:
    """`_maxima` of all solutions; of a large problem one solution at a time."""
    if not problem.is_sparse:
        return _maxima(problem, batch, sweep)
    parts = []
    for s in range(len(batch.beta)):
        one, rows = batch.pick(np.arange(len(batch.beta)) == s)
        points = _maxima(problem, one, sweep.pick(np.arange(len(batch.beta)) == s, rows))
        parts.append(points._replace(owner=points.owner + s))
    return stacked(parts)


def _maxima(problem: Problem, batch: Batch, sweep: Sweep) -> Points:
    """Where ascent steps lead from the sources, but for what comes to atoms or stays low."""
    if problem.is_sparse:
        _, beside = stability_numbers(problem, batch, sweep)
        points, _ = starting_points(problem, batch, sweep, beside, np.random.default_rng(0), 1.0)
    else:
        points = for_each(problem, *problem.features(), len(batch.beta))
    for climb in range(CLIMBS):
        value, _, means, _ = log_c(problem, batch.beta, sweep.log_z, *points)
        fine = np.asarray(np.isfinite(means).all(axis=1))
        if climb >= CLIMBS // 2:
            fine &= value > -4.0 * NEAR
        points = _apart(problem, batch, sweep, points._replace(means=means).pick(fine))
    return points


def _survivors(problem: Problem, batch: Batch, sweep: Sweep, points: Points) -> Points:
    """The same after some of Newton's steps, but for what comes to atoms, meets another or wanders."""
    for longest in WANDERS:
        if not len(points.means):
            break
        means, _, length = approached(problem, batch, sweep, *points, STEPS)
        points = _apart(problem, batch, sweep, points._replace(means=means).pick(length < longest))
    return points


def _apart(problem: Problem, batch: Batch, sweep: Sweep, points: Points) -> Points:
    """The same but for what has come to atoms, or met another."""
    V = problem.link(points.means, points.face)[0]
    points = points.pick(nearest(problem, batch, sweep.V, points.owner, points.means, V, points.face)[0] > SWALLOWED)
    return points.pick(distinct(problem, batch.beta, points.owner, points.means, points.face, APART))


def _paired(
    problem: Problem, batch: Batch, links: Ints, points: Points, height: Array, slope: Array
) -> tuple[Ints, Points, Array]:
    """The pairs of maxima at both ends of links between which the cubic of their heights comes near 0, and where it is highest."""
    log_beta, V = np.log(batch.beta), problem.link(points.means, points.face)[0]
    whose = Batch(batch.beta, np.ones(len(height)), points.means, points.owner, points.face)
    lower = np.flatnonzero(
        np.isin(points.owner, links) & (whose.counts[np.minimum(points.owner + 1, len(batch.beta) - 1)] > 0)
    )
    above = points.owner[lower] + 1
    distance, mate = nearest(problem, whose, V, above, points.means[lower], V[lower], points.face[lower])
    step = log_beta[above] - log_beta[above - 1]
    near = distance < np.maximum(radius(step), MET)
    lower, mate, step = lower[near], mate[near], step[near]
    one, two = height[lower], height[mate]
    cubic = _cubic(one, two, step * slope[lower], step * slope[mate])
    steepest = step * np.maximum(np.abs(slope[lower]), np.abs(slope[mate]))
    rises = cubic.max(axis=0, initial=-np.inf) > np.minimum(MARGIN * np.maximum(one, two), -SLACK * steepest)
    rises &= (slope[lower] > 0.0) & (slope[mate] < 0.0)
    peak = SHARES[np.argmax(cubic, axis=0)[rises], 0] * step[rises]
    lower = lower[rises]
    link = points.owner[lower]
    return link, Points(points.means[lower], points.face[lower], np.arange(len(lower))), batch.beta[link] * np.exp(peak)
