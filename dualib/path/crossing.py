"""Jumps: where two branches of different atoms have the same objective, and both are optimal there.

Each is followed past the other's end; the difference of their objectives is a smooth function of beta with slope E d - E d', and so
its root is simple. Neither branch has a singularity at it, and the whole segment between the two solutions is optimal there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dualib.distortions.interface import Array, Mask
from dualib.engine.batch import Batch
from dualib.engine.problem import Ints, Problem
from dualib.engine.sweep import Sweep
from dualib.path.branch import distances, followed

ROOT = 1e-13  # accuracy of a root, in log beta
CLEAR, EVEN = 1e-10, 1e-13  # difference of objectives, nats, that is no rounding; that is none
ROUNDED = 1e-15  # relative difference of objectives that is none
MOST_STEPS = 12


@dataclass
class Reach:
    """Two solutions for each of E links, each followed to the beta of the other: `up` from below, `down` from above."""

    below: Batch
    above: Batch
    up: Batch
    down: Batch
    arrives: Mask
    returns: Mask
    rise: Array  # how much higher the objective of `up` is than that of `above`; of `down` than that of `below`: nats
    fall: Array

    def pick(self, which: Ints) -> Reach:
        """Some of the links, by number."""
        parts: list[Any] = [v.copied(which)[0] if isinstance(v, Batch) else v[which] for v in vars(self).values()]
        return Reach(*parts)

    def same(self, accuracy: float) -> tuple[Mask, Mask]:
        """Whether the branch from below is as good as the solution at the upper end, and the other way round."""
        return self.arrives & (self.rise <= accuracy), self.returns & (self.fall <= accuracy)

    def crosses(self) -> Mask:
        """Whether each end is the better one at its own beta, one of them by more than rounding: the other may be the crossing."""
        least, most = np.minimum(self.rise, self.fall), np.maximum(self.rise, self.fall)
        return self.arrives & self.returns & (least > -EVEN) & (most > CLEAR)


def reach(problem: Problem, below: Batch, above: Batch) -> Reach:
    """Follow both ends of links (E,) past each other."""
    up, up_sweep, arrives = followed(problem, below, above.beta)
    down, down_sweep, returns = followed(problem, above, below.beta)
    first, second = Sweep(problem, below), Sweep(problem, above)
    return Reach(
        below, above, up, down, arrives, returns, up_sweep.objective - second.objective, down_sweep.objective - first.objective
    )


@dataclass
class Crossing:
    """Log betas (E,), NaN where they were not found; the two branches there."""

    log_beta: Array
    below: Batch
    above: Batch


def crossing(problem: Problem, ends: Reach) -> Crossing:
    """Where the objectives of branches that cross are equal, and their slopes are not."""
    lower, upper = np.log(ends.below.beta), np.log(ends.above.beta)
    width = upper - lower
    one, two = ends.below, ends.above
    at = lower + width * np.clip(ends.fall / (ends.fall + ends.rise), 0.0, 1.0)
    fine, found = np.ones(len(at), bool), np.zeros(len(at), bool)
    for _ in range(MOST_STEPS):
        one, one_sweep, there = followed(problem, one, np.exp(at))
        two, two_sweep, here = followed(problem, two, np.exp(at))
        fine &= there & here
        difference = one_sweep.objective - two_sweep.objective
        slope = np.exp(at) * (distortion(problem, one, one_sweep) - distortion(problem, two, two_sweep))
        lower, upper = np.where(difference < 0.0, at, lower), np.where(difference < 0.0, upper, at)
        to = at - difference / np.where(slope > 0.0, slope, np.nan)
        to = np.where((to > lower) & (to < upper), to, 0.5 * (lower + upper))
        found = (np.abs(to - at) < ROOT) | (np.abs(difference) < ROUNDED * (1.0 + np.abs(one_sweep.objective)))
        if (found | ~fine).all():
            break
        at = np.where(found, at, to)
    return Crossing(np.where(fine & found & (slope * width > CLEAR), at, np.nan), one, two)


def distortion(problem: Problem, batch: Batch, sweep: Sweep) -> Array:
    """E d (S,), less the part of a(x): the derivative of a branch's objective by beta."""
    return batch.total(problem.expectation(sweep.posterior * distances(problem, batch.means, batch.face)))
