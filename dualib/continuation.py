"""Points of a branch of stationary solutions with their tangents, and steps from one to the next along beta.

On a fixed set of atoms the stationary point z(beta) = (w, M) moves by the implicit ODE ``dz/dbeta = -H^-1 dg/dbeta`` (g the scaled
gradient, H the Hessian of `curvature.Curvature`). The tangents of the last two points give a cubic, which predicts the next one, and
Newton's method corrects it. Nothing here asks whether the branch is optimal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from dualib.distortions import Array
from dualib.newton_kernels import NOTHING
from dualib.problem import Atoms, Problem, Sweep, distance_matrix, natural_distance, newton_steps, sweep
from dualib.settle_kernels import SAME
from dualib.stationary import in_kernel, point_and_tangent, stationary_step

Number = TypeVar("Number", float, Array)
_CORRECTED = 1e-12
_ROUNDING = 1e-9  # a residual that Newton's steps no longer lower is accepted below this
_FARTHEST_AHEAD = 3.0  # a cubic is trusted this many times the length that it was fitted on
MOST_NEWTON = 6  # of one step: where more would be needed a shorter step is better


def correct(problem: Problem, beta: float, atoms: Atoms, max_newton: int = 12) -> Sweep | None:
    """The stationary point on these atoms by undamped Newton steps; None where they diverge or an atom would lose its weight."""
    if in_kernel(problem, atoms):
        settled, atoms, *_ = newton_steps(problem, beta, atoms, goal=_CORRECTED, most=max_newton, end=NOTHING)
        return sweep(problem, beta, atoms) if settled else None
    state = sweep(problem, beta, atoms)
    for _ in range(max_newton):
        if state.residual <= _CORRECTED or not math.isfinite(state.residual):
            break
        proposal = stationary_step(problem, state)
        if proposal is None or len(proposal) != len(atoms):
            return None
        trial = sweep(problem, beta, proposal)
        if not math.isfinite(trial.objective) or trial.residual > 2.0 * max(state.residual, 0.1):
            return None
        if trial.residual > 0.5 * state.residual and state.residual < _ROUNDING:
            break
        state = trial
    return state if state.residual < _ROUNDING else None


def continuous(problem: Problem, beta: float, old: Atoms, new: Atoms) -> bool:
    """Whether each atom is still itself: nearer to its old place than to any other atom's, and none coincide."""
    if len(new) == 1 or problem.distortion.fixed_atoms:
        return True
    between = distance_matrix(problem, beta, new, new)
    np.fill_diagonal(between, np.inf)
    if between.min() < SAME:
        return False
    moved = natural_distance(problem, beta, old, new)
    return bool((moved < between.min(axis=1)).all())


@dataclass(frozen=True)
class Point:
    """Atoms of the branch with the derivatives of their weights and means by log beta.

    `loose` is the residual of the atoms that the derivatives are of: those before the last step of Newton's method.
    """

    beta: float
    atoms: Atoms
    weights: Array
    means: Array
    loose: float

    @classmethod
    def reached(cls, problem: Problem, beta: float, atoms: Atoms) -> Point | None:
        """The point of the branch at `beta` near these atoms; None where Newton's method does not settle."""
        found = point_and_tangent(problem, beta, atoms, MOST_NEWTON)
        return None if found is None else cls(beta, *found)

    def away(self, beta: float) -> float:
        """How far `beta` is above, in log beta."""
        return math.log(beta / self.beta)

    def to_roots(self, before: Point | None) -> Array:
        """How far below each weight's root is by its parabola (by its tangent, at a first point), in log beta; inf without one."""
        w, falling = self.atoms.weights, self.weights
        bend = np.zeros(len(w)) if before is None else (before.weights - self.weights) / self.away(before.beta)
        inside = falling**2 - 2.0 * bend * w
        with np.errstate(all="ignore"):  # the smaller root of w - falling s + bend s^2 / 2, written without cancellation
            roots = 2.0 * w / (falling + np.sqrt(inside))
        return np.where((inside >= 0.0) & (roots > 0.0), roots, np.inf)

    def root_of_cubic(self, before: Point, t: int, guess: float) -> float:
        """The same of one weight by the cubic that has both points' values and derivatives; inf where Newton's method fails."""
        root = guess
        for _ in range(8):
            value, slope = self._weight(before, t, -root)
            if not slope > 0.0:
                return math.inf
            root += value / slope
            if abs(value) <= 1e-14 * abs(slope) * root:
                break
            if not 0.0 < root < 2.0 * guess:
                return math.inf
        return root

    def _weight(self, before: Point, t: int, s: float) -> tuple[float, float]:
        ends = [(float(point.atoms.weights[t]), float(point.weights[t])) for point in (self, before)]
        return cubic(s, self.away(before.beta), *ends)

    def predicted(self, other: Point | None, beta: float) -> Atoms:
        """The atoms at `beta` by the cubic through both points, or by the tangent; not normalised, nor all weights positive."""
        s, atoms = self.away(beta), self.atoms
        if other is not None and abs(s) <= _FARTHEST_AHEAD * abs(self.away(other.beta)):
            length = self.away(other.beta)
            weights = cubic(s, length, (atoms.weights, self.weights), (other.atoms.weights, other.weights))[0]
            means = cubic(s, length, (atoms.means, self.means), (other.atoms.means, other.means))[0]
        else:
            weights, means = atoms.weights + s * self.weights, atoms.means + s * self.means
        return Atoms(weights, means, atoms.face)

    def corrected(self, problem: Problem, other: Point | None, beta: float) -> Sweep | None:
        """The branch at `beta` by the prediction and Newton's method; None where that does not settle on this branch."""
        ahead = self.ahead(other, beta)
        settled = None if ahead is None else correct(problem, beta, ahead, max_newton=MOST_NEWTON)
        return settled if settled is not None and continuous(problem, beta, self.atoms, settled.atoms) else None

    def stepped(self, problem: Problem, before: Point | None, beta: float) -> Point | None:
        """The point of the branch at `beta`, likewise."""
        ahead = self.ahead(before, beta)
        following = None if ahead is None else Point.reached(problem, beta, ahead)
        return following if following is not None and continuous(problem, beta, self.atoms, following.atoms) else None

    def ahead(self, other: Point | None, beta: float) -> Atoms | None:
        """The prediction as atoms; None where that is none."""
        atoms = self.predicted(other, beta)
        fine = (atoms.weights > 0.0).all() and np.isfinite(atoms.means).all()
        return atoms.normalised() if fine else None


def cubic(s: float, length: float, here: tuple[Number, Number], there: tuple[Number, Number]) -> tuple[Number, Number]:
    """Value and slope at s of the cubic with these values and slopes at 0 and at `length`."""
    (value, slope), (value_there, slope_there) = here, there
    chord = (value_there - value) / length
    second = (3.0 * chord - 2.0 * slope - slope_there) / length
    third = (slope + slope_there - 2.0 * chord) / length**2
    return value + s * (slope + s * (second + s * third)), slope + s * (2.0 * second + 3.0 * s * third)
