"""The loop of all: descend, price, and take up what was found, until every gap is closed.

Adding a point of c > 1 always lowers the objective and the problem over measures is convex, so this cannot end in a local optimum
that the search sees through.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dualib.distortions import Array
from dualib.engine.batch import COARSE, Batch, identity, in_order, merged
from dualib.engine.descent import descend
from dualib.engine.problem import Ints, Problem
from dualib.engine.search import Found, price
from dualib.engine.starts import Points
from dualib.engine.sweep import Sweep

MOST_ROUNDS = 40


class Optimum(NamedTuple):
    """The end of all solutions of a batch.

    Attributes
    ----------
    batch : Batch
    sweep : Sweep
        Of this batch.
    gap : (S,)
        The largest log c found at this state, nats.
    best : Points
        Where it was found, one point for each solution.
    taken : (S,) int
        Sweeps, and products with the Hessian.
    """

    batch: Batch
    sweep: Sweep
    gap: Array
    best: Points
    taken: Ints


def certify(
    problem: Problem,
    batch: Batch,
    *,
    tol: float = 1e-9,
    goal: float = 1e-11,
    most: int = 20_000,
    coarse: bool = True,
    rng: np.random.Generator | None = None,
    effort: float = 1.0,
) -> Optimum:
    """Descend and price until no gap is above `tol`; each solution keeps its best state."""
    rng = np.random.default_rng(0) if rng is None else rng
    S = len(batch.beta)
    finished: list[tuple[Ints, Batch, Found]] = []
    numbers, taken = np.arange(S), np.zeros(S, dtype=np.int64)
    for round_ in range(MOST_ROUNDS):
        ended = descend(problem, batch, goal=goal, most=most, coarse=coarse and round_ == 0)
        batch = ended.batch
        taken[numbers] += ended.taken
        found = price(problem, batch, ended.sweep, tol=tol, rng=rng, effort=effort)
        many = np.bincount(found.points.owner, minlength=len(numbers))
        done = (found.gap <= tol) | (many == 0) | (taken[numbers] >= most) | (round_ == MOST_ROUNDS - 1)
        if done.any():
            own = found._replace(gap=found.gap[done], best=found.best.pick(done))
            finished.append((numbers[done], batch.pick(done)[0], own))
        if done.all():
            break
        weights = found.weights / many[found.points.owner]
        left = 1.0 - np.bincount(found.points.owner, weights, minlength=len(numbers))
        batch.weights = batch.weights * left[batch.owner]
        batch = batch.joined(weights, found.points.means, found.points.owner, found.points.face).pick(~done)[0]
        numbers = numbers[~done]
    order = np.argsort(np.concatenate([which for which, _, _ in finished]))
    gap = np.concatenate([found.gap for _, _, found in finished])[order]
    best = Points(*(np.concatenate([getattr(found.best, name) for _, _, found in finished])[order] for name in Points._fields))
    batch = in_order([(which, part) for which, part, _ in finished])
    return Optimum(batch, Sweep(problem, batch), gap, best, taken)


def optimum(problem: Problem, beta: Array, **options: object) -> Optimum:
    """`certify` from the identity, near sources merged."""
    return certify(problem, merged(problem, identity(problem, beta), COARSE), **options)  # type: ignore[arg-type]
