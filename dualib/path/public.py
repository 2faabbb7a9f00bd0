"""From a chain of solutions to public events."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np

from dualib.doors import step
from dualib.engine.batch import Batch, nearest
from dualib.engine.problem import Problem
from dualib.engine.stability import stability
from dualib.engine.sweep import Sweep
from dualib.path.chain import Bifurcation
from dualib.path.events import locate
from dualib.path.points import Points, Sides
from dualib.results.common import EventKind
from dualib.results.event import Event
from dualib.results.solution import Solution

FOLLOWED = 6_000  # unknowns of a solution, up to which branches are followed
FOLLOWED_PRODUCTS = 100_000_000  # the same of a large sparse problem: clusters times nonzeros, a minute or so for an event
CLOSE = 1e-6  # width in log beta of a bracket up to which a change with weight is a jump
WEIGHT = 1e-3  # ... and that weight


@step("events")
def located_events(points: Points) -> list[Event]:
    """The events between all points; on large problems only bracketed. Points that a neighbour's branch replaces are replaced."""
    problem, batch = points.problem, points.batch()
    if not _affordable(problem, int(batch.counts.max())):
        return bracketed_events(points)
    chain = locate(problem, batch, points.report)
    points.replace(chain.batch.copied(np.flatnonzero(chain.given))[0])
    events = [(i, event) for i, event in enumerate(chain.events) if event is not None]
    parts = [chain.batch.one(i + side) for i, _ in events for side in (0, 1)]
    sides = Sides(problem, parts, points.tol)
    return [_public(problem, event, parts[2 * j], parts[2 * j + 1], sides, 2 * j) for j, (_, event) in enumerate(events)]


def _affordable(problem: Problem, n_clusters: int) -> bool:
    """Whether branches of so many clusters are followed."""
    if problem.is_sparse:
        return n_clusters * len(problem.csr[0]) <= FOLLOWED_PRODUCTS
    return n_clusters * (1 + problem.k) <= FOLLOWED


def bracketed_events(points: Points) -> list[Event]:
    """Changes of the number of clusters between neighbouring points: bracketed by the grid, not located."""
    batch, betas, solutions = points.batch(), points.betas, points.solutions()
    found = []
    for i in np.flatnonzero(np.diff(batch.counts)):
        event = Bifurcation("", math.sqrt(betas[i] * betas[i + 1]), 1, math.log(betas[i + 1] / betas[i]), False)
        found.append(_public(points.problem, event, batch.one(i), batch.one(i + 1), solutions.__getitem__, int(i)))
    return found


def _public(
    problem: Problem, event: Bifurcation, below: Batch, above: Batch, sides: Callable[[int], Solution], number: int
) -> Event:
    if event.located:
        interval = (event.beta * (1.0 - 0.5 * event.precision), event.beta * (1.0 + 0.5 * event.precision))
    else:
        interval = (float(below.beta[0]), float(above.beta[0]))
    return Event(
        kind=event.kind if event.located else kind_between(problem, below, above),  # type: ignore[arg-type]
        beta=event.beta,
        interval=interval,
        before=int(below.counts[0]),
        after=int(above.counts[0]),
        multiplicity=event.multiplicity,
        located=event.located,
        precision=event.precision,
        below=functools.partial(sides, number),  # type: ignore[arg-type]
        above=functools.partial(sides, number + 1),  # type: ignore[arg-type]
    )


def kind_between(problem: Problem, below: Batch, above: Batch) -> EventKind:
    """What has happened between two solutions, of which nothing else is known."""
    sweep, link = Sweep(problem, below), problem.link(above.means, above.face)[0]
    apart, origin = nearest(problem, below, sweep.V, np.zeros(len(above.weights), np.int64), above.means, link, above.face)
    if math.log(above.beta[0] / below.beta[0]) < CLOSE and above.weights @ np.minimum(apart, 1.0) > WEIGHT:
        return "jump"
    heirs = np.bincount(origin[np.isfinite(apart)], minlength=len(below.weights))
    unstable = stability(problem, below, sweep) * above.beta[0] / below.beta[0] > 1.0
    return "split" if (unstable & (heirs > 1)).any() else "appearance"
