"""A branch followed downward through one vanishing cluster after the other, as far as these are all its events.

Seen from the side that has the cluster, an appearance is a root of its weight, which falls to 0 linearly in log beta while nothing
else on the branch is singular. Each point of the branch comes with its tangent, so the last two of them give a cubic of each
weight; a point nearer to its root follows until cubic and parabola agree on the root. This costs a few small linear systems an
event, so it is tried first; events of other kinds (splits, jumps, ties) end a `Descent` and are for `dualib.events`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dualib.births import beside, vanished
from dualib.branch import PRECISION
from dualib.continuation import Point, correct
from dualib.distortions import Array
from dualib.problem import Problem, Sweep, sweep

_AGREED = 5e-8  # difference of two orders of extrapolation, in log beta, below which the state beside the root is next
_BESIDE = 2e-7  # in log beta: how far above the root the state with the cluster is given
_NEAREST = 1e-9  # ... or how near it may come where even that is too far, above a branch that all but splits
_LONGEST = 0.2  # step in log beta
_FIRST = 0.5  # part of the way to the root of the tangent that a first step goes
_LEFT, _MARGIN = 0.02, 5.0  # part of the way to a root that a step leaves, or else this many times what is unsure of it
_SOONER = 0.5  # a weight that falls like a square root is 0 before its parabola is
_STEEP = 100.0  # a weight that falls faster than this by log beta is about to fold, not to cross 0
_LOOSE = 1e-8  # residual above which one step of Newton's method does not end at rounding
_SMALLEST = 1e-3  # of a step allowed, after failures
_TIE = 1e-6  # roots nearer to each other than this, in log beta, are one event of several clusters


@dataclass(frozen=True)
class Vanishing:
    """A cluster that vanishes on the way down.

    Attributes
    ----------
    beta : float
    state : Sweep
        The branch within 1e-6 of it in log beta, on the side that has the cluster.
    cluster : int
    rest : Sweep
        The branch without the cluster, at `beta`.
    precision : float
        Of `beta`, relative.
    """

    beta: float
    state: Sweep
    cluster: int
    rest: Sweep
    precision: float = PRECISION


class Descent:
    """The branch below a state, followed as far as asked for.

    The points computed depend on the first state only, not on what is asked or in which order, so that they can be computed
    again to the same bits.
    """

    def __init__(self, problem: Problem, state: Sweep) -> None:
        self.problem, self.top, self._first = problem, state.beta, state
        self.vanishings: list[Vanishing] = []  # by falling beta
        first = Point.reached(problem, state.beta, state.atoms)
        self._pieces: list[list[Point]] = [[] if first is None else [first]]  # between the vanishings, by falling beta
        self._ended = first is None
        self._allowed = 1.0
        self._reached = state.beta

    def at(self, beta: float) -> Sweep | None:
        """The branch at `beta`; None where it does not get there."""
        if beta == self.top:
            return self._first
        self._reach(beta)
        if not self._reached <= beta <= self.top:
            return None
        piece = self._pieces[sum(vanishing.beta > beta for vanishing in self.vanishings)]
        above = [point for point in piece if point.beta >= beta]
        below = [point for point in piece if point.beta < beta]
        other = below[0] if below else (above[-2] if len(above) > 1 else None)
        return above[-1].corrected(self.problem, other, beta)

    def lowest(self) -> Sweep:
        """The branch as far down as it was followed."""
        for point in self._pieces[-1][::-1]:
            state = correct(self.problem, point.beta, point.atoms) if point.beta < self.top else None
            if state is not None:
                return state
        return self._first

    def between(self, low: float, high: float) -> list[Vanishing]:
        """The vanishings known between two betas, by falling beta."""
        self._reach(low)
        return [vanishing for vanishing in self.vanishings if low < vanishing.beta < high]

    def _reach(self, beta: float) -> None:
        while self._reached > beta and not self._ended:
            self._ended = not self._advance()

    def _advance(self) -> bool:
        """One more point, or vanishing; False where the branch cannot be followed further in this way."""
        piece = self._pieces[-1]
        point = piece[-1]
        before = piece[-2] if len(piece) > 1 else None
        roots = point.to_roots(before)
        t = int(np.argmin(roots))
        nearest = float(roots[t])
        unsure = math.inf
        if math.isfinite(nearest) and before is not None:
            cubic = point.root_of_cubic(before, t, nearest)
            unsure = abs(cubic - nearest)
            if unsure < _AGREED and cubic < _LONGEST and self._vanish(point, before, roots, t, cubic):
                return True
        if nearest < _BESIDE or point.atoms.weights[t] > _STEEP * nearest:
            return self._fall(point, before, t, nearest)
        left = max(_LEFT * nearest, _MARGIN * unsure)
        longest = min(max(nearest - left, _FIRST * nearest), _LONGEST) if math.isfinite(nearest) else _LONGEST
        while self._allowed > _SMALLEST:
            following = point.stepped(self.problem, before, point.beta * math.exp(-longest * self._allowed))
            if following is not None:
                self._allowed = min(1.0, 2.0 * self._allowed)
                piece.append(following)
                self._reached = following.beta
                return True
            self._allowed *= 0.25
        return False

    def _fall(self, point: Point, before: Point | None, t: int, nearest: float) -> bool:
        """Go to where a cluster that vanishes steeply begins, from below."""
        birth = vanished(self.problem, point, before, t, _SOONER * nearest)
        if birth is None:
            return False
        above, away = None, _BESIDE
        while above is None and away > _NEAREST:
            above, away = beside(self.problem, birth, away), 0.1 * away
        if above is None:
            return False
        self.vanishings.append(Vanishing(birth.point.beta, above, len(birth.state.atoms), birth.state, birth.precision))
        self._pieces.append([birth.point])
        self._reached, self._allowed = birth.point.beta, 1.0
        return True

    def _vanish(self, point: Point, before: Point, roots: Array, t: int, root: float) -> bool:
        """Go through the root of the weight of cluster t, which a state right above it, known to rounding, tells to rounding.

        False where the root is not where it seemed to be, or is no simple one.
        """
        others = np.arange(len(roots)) != t
        if np.sum(roots < roots[t] + _TIE) > 1 or not others.any():
            return False
        above = point.beta * math.exp(_BESIDE - root)
        beside = point.stepped(self.problem, before, above)
        if beside is not None and beside.loose > _LOOSE:
            beside = Point.reached(self.problem, above, beside.atoms)
        if beside is None or not beside.weights[t] > 0.0:
            return False
        left = float(beside.atoms.weights[t] / beside.weights[t])
        if not abs(left - _BESIDE) < 0.5 * _BESIDE:
            return False
        beta = above * math.exp(-left)
        start = point.predicted(before, beta).pick(others)
        following = Point.reached(self.problem, beta, start.normalised()) if (start.weights > 0.0).all() else None
        rest = None if following is None else correct(self.problem, beta, following.atoms)
        if following is None or rest is None or len(rest.atoms) != int(others.sum()):
            return False
        self.vanishings.append(Vanishing(beta, sweep(self.problem, above, beside.atoms), t, rest))
        self._pieces.append([following])
        self._reached, self._allowed = beta, 1.0
        return True
