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

from dualib.branch import Branch, correct
from dualib.distortions import Array
from dualib.problem import Atoms, Problem, Sweep
from dualib.stationary import branch_tangent

_AGREED = 1e-10  # difference of two orders of extrapolation, in log beta, below which the root is known
_BESIDE = 1e-6  # in log beta: how far above the root the state with the cluster is given
_LONGEST = 0.2  # step in log beta
_FIRST = 0.5  # part of the way to the root of the tangent that a first step goes
_LEFT, _MARGIN = 0.02, 5.0  # part of the way to a root that a step leaves, or else this many times what is unsure of it
_STEEP = 100.0  # a weight that falls faster than this by log beta is about to fold, not to cross 0
_FARTHEST_AHEAD = 3.0  # a cubic is trusted this many times the length that it was fitted on
_SMALLEST = 1e-3  # of a step allowed, after failures
_MOST_NEWTON = 6
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
    """

    beta: float
    state: Sweep
    cluster: int
    rest: Sweep


class Descent:
    """The branch below a state, followed as far as asked for.

    The points computed depend on the first state only, not on what is asked or in which order, so that they can be computed
    again to the same bits.
    """

    def __init__(self, problem: Problem, state: Sweep) -> None:
        self.problem, self.top = problem, state.beta
        self.vanishings: list[Vanishing] = []  # by falling beta
        first = _Point.of(problem, state)
        self._pieces: list[list[_Point]] = [[] if first is None else [first]]  # between the vanishings, by falling beta
        self._ended = first is None
        self._allowed = 1.0
        self._reached = state.beta

    def at(self, beta: float) -> Sweep | None:
        """The branch at `beta`; None where it does not get there."""
        self._reach(beta)
        if not self._reached <= beta <= self.top:
            return None
        piece = self._pieces[sum(vanishing.beta > beta for vanishing in self.vanishings)]
        above = [point for point in piece if point.state.beta >= beta]
        below = [point for point in piece if point.state.beta < beta]
        if above[-1].state.beta == beta:
            return above[-1].state
        other = below[0] if below else (above[-2] if len(above) > 1 else None)
        return above[-1].corrected(self.problem, other, beta)

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
            if unsure < _AGREED and cubic < _LONGEST:
                return self._vanish(point, before, roots, t, cubic)
        if point.state.atoms.weights[t] > _STEEP * nearest:
            return False
        left = max(_LEFT * nearest, _MARGIN * unsure)
        longest = min(max(nearest - left, _FIRST * nearest), _LONGEST) if math.isfinite(nearest) else _LONGEST
        while self._allowed > _SMALLEST:
            step = longest * self._allowed
            following = point.stepped(self.problem, before, point.state.beta * math.exp(-step))
            if following is not None:
                self._allowed = min(1.0, 2.0 * self._allowed)
                piece.append(following)
                self._reached = following.state.beta
                return True
            self._allowed *= 0.25
        return False

    def _vanish(self, point: _Point, before: _Point, roots: Array, t: int, root: float) -> bool:
        """Go through the root of the weight of cluster t."""
        others = np.arange(len(roots)) != t
        if np.sum(roots < roots[t] + _TIE) > 1 or not others.any():
            return False
        beta = point.state.beta * math.exp(-root)
        state = point.state
        if root > _BESIDE:
            beside = point.corrected(self.problem, before, beta * math.exp(_BESIDE))
            if beside is None:
                return False
            state = beside
        ahead = point.predicted(before, beta)
        start = state.atoms if ahead is None else ahead
        rest = correct(self.problem, beta, start.pick(others).normalised())
        following = None if rest is None or len(rest.atoms) != int(others.sum()) else _Point.of(self.problem, rest)
        if following is None:
            return False
        self.vanishings.append(Vanishing(beta, state, t, following.state))
        self._pieces.append([following])
        self._reached, self._allowed = beta, 1.0
        return True


@dataclass(frozen=True)
class _Point:
    """A state of the branch with the derivatives of its weights and means by log beta."""

    state: Sweep
    weights: Array
    means: Array

    @classmethod
    def of(cls, problem: Problem, state: Sweep) -> _Point | None:
        tangent = branch_tangent(problem, state)
        return None if tangent is None else cls(state, *tangent)

    def away(self, beta: float) -> float:
        """How far `beta` is above, in log beta."""
        return math.log(beta / self.state.beta)

    def to_roots(self, before: _Point | None) -> Array:
        """How far below each weight's root is by its parabola (by its tangent, at a first point), in log beta; inf without one."""
        w, falling = self.state.atoms.weights, self.weights
        bend = np.zeros(len(w)) if before is None else (before.weights - self.weights) / self.away(before.state.beta)
        inside = falling**2 - 2.0 * bend * w
        with np.errstate(all="ignore"):  # the smaller root of w - falling s + bend s^2 / 2, written without cancellation
            roots = 2.0 * w / (falling + np.sqrt(inside))
        return np.where((inside >= 0.0) & (roots > 0.0), roots, np.inf)

    def root_of_cubic(self, before: _Point, t: int, guess: float) -> float:
        """The same of one weight by the cubic that has both points' values and derivatives; inf where Newton's method fails."""
        length = self.away(before.state.beta)
        root = guess
        for _ in range(8):
            s = np.array([-root])
            value, slope = (float(x[0]) for x in _cubic(s, length, self._of_weight(t), before._of_weight(t)))
            if not slope > 0.0:
                return math.inf
            root += value / slope
            if not 0.0 < root < 2.0 * guess:
                return math.inf
        return root

    def _of_weight(self, t: int) -> tuple[Array, Array]:
        return self.state.atoms.weights[[t]], self.weights[[t]]

    def predicted(self, other: _Point | None, beta: float) -> Atoms | None:
        """The atoms at `beta` by the cubic through both points, or by the tangent; None where a weight would not be positive.

        Not normalised: the weights sum to 1 to the order of the prediction.
        """
        s, atoms = self.away(beta), self.state.atoms
        if other is not None and abs(s) <= _FARTHEST_AHEAD * abs(self.away(other.state.beta)):
            length = self.away(other.state.beta)
            weights = _cubic(s, length, (atoms.weights, self.weights), (other.state.atoms.weights, other.weights))[0]
            means = _cubic(s, length, (atoms.means, self.means), (other.state.atoms.means, other.means))[0]
        else:
            weights, means = atoms.weights + s * self.weights, atoms.means + s * self.means
        return Atoms(weights, means, atoms.face) if np.isfinite(weights).all() and np.isfinite(means).all() else None

    def corrected(self, problem: Problem, other: _Point | None, beta: float) -> Sweep | None:
        """The branch at `beta` by the prediction and Newton's method; None where that does not settle on this branch."""
        ahead = self.predicted(other, beta)
        if ahead is None or not (ahead.weights > 0.0).all():
            return None
        settled = correct(problem, beta, ahead.normalised(), max_newton=_MOST_NEWTON)
        if settled is None or not Branch(problem, self.state).continuous(self.state, settled):
            return None
        return settled

    def stepped(self, problem: Problem, before: _Point | None, beta: float) -> _Point | None:
        """The point of the branch at `beta`."""
        settled = self.corrected(problem, before, beta)
        return None if settled is None else _Point.of(problem, settled)


def _cubic(
    s: float | Array, length: float, here: tuple[Array, Array], there: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Value and slope at s of the cubic with these values and slopes at 0 and at `length`."""
    (value, slope), (value_there, slope_there) = here, there
    chord = (value_there - value) / length
    second = (3.0 * chord - 2.0 * slope - slope_there) / length
    third = (slope + slope_there - 2.0 * chord) / length**2
    return value + s * (slope + s * (second + s * third)), slope + s * (2.0 * second + 3.0 * s * third)
