"""Clusters that are born and die again between two solutions of a chain whose atoms match, so that nothing tells of them.

At both ends the maximum that becomes such a cluster is there, a little below 0. So at every solution the maxima of log c near 0 are
looked for; two of neighbours that belong together have heights and slopes, and where the cubic through these comes above 0 in
between, or near it, a birth is sought.
"""

from __future__ import annotations

import numpy as np

from dualib.distortions.interface import Array
from dualib.engine.batch import Batch, across_faces, distinct, nearest
from dualib.engine.problem import Ints, Problem
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
MARGIN = 0.3  # part of the lower end's depth by which the cubic may miss 0


@np.errstate(all="ignore")
def suspects(problem: Problem, batch: Batch, links: Ints) -> tuple[Ints, Points]:
    """Links (by their lower ends) and points near which a cluster may be born in them; owners count these pairs."""
    nothing = np.zeros(0, dtype=np.int64), Points(np.zeros((0, problem.k)), np.zeros(0, np.int64), np.zeros(0, np.int64))
    if problem.fixed or not len(links):
        return nothing
    ends = np.union1d(links, links + 1)
    batch, links = batch.copied(ends)[0], np.searchsorted(ends, links)
    sweep = Sweep(problem, batch)
    points = _survivors(problem, batch, sweep, _all_maxima(problem, batch, sweep))
    if not len(points.means):
        return nothing
    found = maxima_near(problem, batch, sweep, *points)
    _, log_z = tangents(problem, batch, sweep)
    slope = slopes(problem, batch.beta[points.owner], log_z[points.owner], found.means, points.face, found.q)[0]
    good = found.exists & (found.height > -NEAR) & (found.apart > SWALLOWED)
    within = np.full(len(points.owner), SWALLOWED)  # of an atom on another face, whose height is that of rounding
    good &= across_faces(problem, batch, points.owner, found.means, points.face, within) < 0
    points = Points(found.means, points.face, points.owner).pick(good)
    height, slope = found.height[good], slope[good]
    order = np.lexsort((-height, points.owner))
    points, height, slope = points.pick(order), height[order], slope[order]
    alone = distinct(problem, batch.beta, points.owner, points.means, points.face, MET)
    link, points = _paired(problem, batch, links, points.pick(alone), height[alone], slope[alone])
    return ends[link], points


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


def _paired(problem: Problem, batch: Batch, links: Ints, points: Points, height: Array, slope: Array) -> tuple[Ints, Points]:
    """The pairs of maxima at both ends of links between which the cubic of their heights comes near 0."""
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
    share = np.linspace(0.0, 1.0, 33)[1:-1, None]
    one, two = height[lower], height[mate]
    cubic = (
        (1 + 2 * share) * (1 - share) ** 2 * one
        + share * (1 - share) ** 2 * step * slope[lower]
        + share**2 * (3 - 2 * share) * two
        - share**2 * (1 - share) * step * slope[mate]
    )
    rises = cubic.max(axis=0, initial=-np.inf) > MARGIN * np.maximum(one, two)
    rises &= (slope[lower] > 0.0) & (slope[mate] < 0.0)
    lower = lower[rises]
    return points.owner[lower], Points(points.means[lower], points.face[lower], np.arange(len(lower)))
