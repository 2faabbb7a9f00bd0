"""Where a branch followed away from its clusters' births loses one of them: the weight of a cluster reaches 0.

Seen from the side that has the cluster, an appearance is a root of its weight, which falls to 0 linearly in log beta while nothing
else on the branch is singular. The tangent of the branch tells how far off each such root is; steps of Newton's method go almost
there, and what is left, below 1e-6 in log beta, is extrapolated by the parabola known. This costs a few small linear systems an
event, so it is tried first; events of other kinds (splits, jumps, ties) are for `dualib.events`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dualib.branch import Branch, correct
from dualib.distortions import Array
from dualib.problem import Problem, Sweep
from dualib.stationary import branch_tangent, moved_atoms

_CLOSE = 1e-6  # in log beta: a root nearer than this is extrapolated, by the parabola known
_LONGEST = 0.2  # step in log beta
_KEPT = 0.05  # part of the way to the root that a step leaves
_FIRST = 0.4  # part of the way of the first step, from which the bend of the weights is known
_STEEP = 100.0  # a weight that falls faster than this by log beta is about to fold, not to cross 0
_MOST_STEPS, _MOST_NEWTON = 20, 6
_TIE = 1e-6  # roots nearer to each other than this, in log beta, are one event of several clusters


@dataclass(frozen=True)
class Vanishing:
    """The next cluster to vanish on the way.

    Attributes
    ----------
    beta : float
    state : Sweep
        The branch within 1e-6 of it in log beta, on the side that has the cluster.
    cluster : int
    rest : Sweep
        The branch without the cluster, at `beta`.
    """

    beta: float
    state: Sweep
    cluster: int
    rest: Sweep


def next_vanishing(problem: Problem, state: Sweep, end: float) -> Vanishing | Sweep | None:
    """Follow the branch of a state to beta `end`: the next cluster that vanishes, or the state at `end`; or None."""
    point = _Point.of(problem, state)
    allowed = 1.0
    for _ in range(_MOST_STEPS):
        if point is None:
            return None
        remaining = abs(math.log(end / point.state.beta))
        distance = point.to_roots(math.copysign(1.0, math.log(end / point.state.beta))) if remaining else np.array([np.inf])
        t = int(np.argmin(distance))
        nearest = float(distance[t])
        if point.bend is not None and nearest < min(_CLOSE, remaining):
            return _vanished(problem, point, end, distance, t)
        if point.state.atoms.weights[t] > _STEEP * nearest:
            return None
        part = 1.0 - _KEPT if point.bend is not None else _FIRST
        step = min(part * nearest, remaining, _LONGEST) * allowed
        following = point.moved(problem, end, step, remaining)
        if following is None:
            allowed *= 0.25
            if allowed < 1e-3:
                return None
            continue
        allowed = min(1.0, 2.0 * allowed)
        point = following.bent(point)
        if point.state.beta == end:
            return point.state
    return None


def _vanished(problem: Problem, point: _Point, end: float, distance: Array, t: int) -> Vanishing | None:
    if np.sum(distance < distance[t] + _TIE) > 1:
        return None
    state = point.state
    beta = state.beta * math.exp(math.copysign(float(distance[t]), math.log(end / state.beta)))
    others = np.arange(len(state.atoms)) != t
    if not others.any():
        return None
    rest = correct(problem, beta, state.atoms.pick(others).normalised())
    if rest is None or len(rest.atoms) != int(others.sum()):
        return None
    return Vanishing(beta, state, t, rest)


@dataclass(frozen=True)
class _Point:
    """A state of the branch with the derivatives of its weights and means by log beta."""

    state: Sweep
    weights: Array
    means: Array
    bend: Array | None = None  # second derivatives of the weights, from the point before

    @classmethod
    def of(cls, problem: Problem, state: Sweep) -> _Point | None:
        tangent = branch_tangent(problem, state)
        return None if tangent is None else cls(state, *tangent)

    def bent(self, before: _Point) -> _Point:
        """The same with the bend since another point."""
        bend = (self.weights - before.weights) / math.log(self.state.beta / before.state.beta)
        return _Point(self.state, self.weights, self.means, bend)

    def to_roots(self, sign: float) -> Array:
        """How far each weight's root is by the parabola known, in log beta; inf where it has none that way."""
        w, falling = self.state.atoms.weights, -sign * self.weights
        bend = np.zeros(len(w)) if self.bend is None else -self.bend
        inside = falling**2 + 2.0 * bend * w
        with np.errstate(all="ignore"):  # the smaller root of w - falling s - bend s^2 / 2, written without cancellation
            roots = 2.0 * w / (falling + np.sqrt(inside))
        return np.where((inside >= 0.0) & (roots > 0.0), roots, np.inf)

    def moved(self, problem: Problem, end: float, step: float, remaining: float) -> _Point | None:
        """The point a step nearer to `end`, by the tangent and Newton's method; None where that does not settle on this branch."""
        signed = math.copysign(step, math.log(end / self.state.beta))
        beta = end if step >= remaining else self.state.beta * math.exp(signed)
        atoms = moved_atoms(self.state.atoms, signed * self.weights, signed * self.means)
        if atoms is None or len(atoms) != len(self.state.atoms):
            return None
        settled = correct(problem, beta, atoms, max_newton=_MOST_NEWTON)
        if settled is None or not Branch(problem, self.state).continuous(self.state, settled):
            return None
        return _Point.of(problem, settled)
