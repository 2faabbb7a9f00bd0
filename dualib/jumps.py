"""From one beta straight to another, past whatever happens in between: for curves whose events are not asked for.

The tangent of the branch predicts the atoms, without those that it leaves no weight; Newton's method goes on from there, dropping
those that lose it on the way, and the maxima of log c that rise above 0 become atoms. All of this may go wrong where much happens
in between: the result counts only once it is certified.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from dualib.branch import touching
from dualib.continuation import SAME, Point, continuous
from dualib.distortions import Array
from dualib.local import MANY, merge_atoms, size_of
from dualib.optimise import Outcome
from dualib.problem import Atoms, Problem, Sweep, distance_matrix, join, newton_dropping, sweep
from dualib.stationary import in_kernel
from dualib.weights import reweight

_SETTLED = 1e-12  # residual aimed at
_MOST_NEWTON = 12  # steps from one start, losses of atoms included
_MOST_ROUNDS = 5
_MOST_HALVINGS = 4  # of the way, in log beta
NEAR_BIRTH = -0.5  # maxima of log c above this are tried as atoms at the next beta
_RISEN = 1e-9  # ... and become atoms above this


class Jumps:
    """Jumps from outcome to outcome; what is kept from one to the next depends on the outcomes alone."""

    def __init__(self, problem: Problem, certify: Callable[[Sweep, Atoms], Outcome]) -> None:
        self._problem, self._certify = problem, certify
        self._last: Point | None = None

    def to(self, beta: float, near: Outcome, tol: float) -> Outcome | None:
        """The certified solution at `beta`, from one at another; None where it is not found to `tol`."""
        atoms = near.state.atoms
        if not in_kernel(self._problem, atoms) or size_of(atoms, self._problem) > MANY:
            return None
        before, self._last = self._last, self._point(near.state)
        point, hints = self._last, near.maxima.points.pick(near.maxima.log_c > NEAR_BIRTH)
        ways = [beta]
        while ways:
            found = None if point is None else self._step(ways[-1], point, before, hints)
            if found is None:
                if point is None or len(ways) > _MOST_HALVINGS:
                    return None
                ways.append(math.sqrt(ways[-1] * point.beta))
                continue
            state, hints = found
            if len(ways) > 1:
                before, point = point, self._point(state)
            ways.pop()
        return self._certified(state, hints, tol)

    def _certified(self, state: Sweep | None, hints: Atoms, tol: float) -> Outcome | None:
        """The state, or what it becomes by the clusters that its search finds."""
        for _ in range(_MOST_ROUNDS):
            if state is None:
                return None
            outcome = self._certify(state, hints)
            if outcome.gap <= tol:
                return outcome
            state, hints = self._grown(state, outcome.maxima.points, outcome.maxima.log_c)
        return None

    def _step(self, beta: float, point: Point, before: Point | None, hints: Atoms) -> tuple[Sweep, Atoms] | None:
        """The state at `beta` that the tangent leads to, with the clusters that the hints lead to; and these, at their maxima."""
        ahead = point.predicted(self._same(before, point), beta)
        heavy = ahead.weights > 0.0
        if not np.isfinite(ahead.means).all() or not heavy.any():
            return None
        state = self._settled(beta, ahead.pick(heavy).normalised())
        hints = _weightless(join(hints, point.atoms.pick(~heavy)))
        for _ in range(_MOST_ROUNDS):
            if state is None:
                return None
            hints, values = touching(self._problem, state, hints, rounds=1)
            if not (values > _RISEN).any():
                return state, hints
            state, hints = self._grown(state, hints, values)
        return None

    def _grown(self, state: Sweep, points: Atoms, values: Array) -> tuple[Sweep | None, Atoms]:
        """The stationary point with the points of largest log c as further atoms; and the points."""
        risen = points.pick(values > min(_RISEN, 0.5 * values.max()))
        start = reweight(self._problem, state.beta, join(state.atoms, risen), warm=3)
        return self._settled(state.beta, start), points

    def _point(self, state: Sweep) -> Point | None:
        return Point.reached(self._problem, state.beta, state.atoms)

    def _same(self, before: Point | None, point: Point) -> Point | None:
        """The point before this one, if the atoms are the same and a cubic may join them."""
        if before is None or before.beta == point.beta or len(before.atoms) != len(point.atoms):
            return None
        return before if continuous(self._problem, point.beta, before.atoms, point.atoms) else None

    def _settled(self, beta: float, atoms: Atoms) -> Sweep | None:
        """The stationary point near atoms, without those that lose their weight, or their place to another, on the way."""
        for _ in range(_MOST_ROUNDS):
            found = newton_dropping(self._problem, beta, atoms, goal=_SETTLED, most=_MOST_NEWTON)
            if found is None:
                return None
            atoms = found[0]
            between = distance_matrix(self._problem, beta, atoms, atoms)
            np.fill_diagonal(between, np.inf)
            if not between.min() < SAME:
                return sweep(self._problem, beta, atoms)
            atoms = merge_atoms(self._problem, beta, atoms, SAME).normalised()
        return None


def _weightless(points: Atoms) -> Atoms:
    return Atoms(np.zeros(len(points)), points.means, points.face)
