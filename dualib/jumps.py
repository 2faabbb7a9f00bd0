"""From one beta straight to another, past whatever happens in between: for curves whose events are not asked for.

The atoms descend to a local minimum at the new beta, without those that lose their weight or their place to another on the way,
and the maxima of log c that rise above 0 become atoms. All of this may go wrong where much happens in between: the result counts
only once it is certified.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from dualib.ascent import log_c
from dualib.branch import distinct
from dualib.continuation import SAME
from dualib.distortions import Array
from dualib.local import coalesce
from dualib.optimise import Outcome
from dualib.problem import Atoms, Problem, Sweep, descend, join
from dualib.search import Maxima
from dualib.start_kernels import taken_up
from dualib.weights import reweight

_SETTLED = 1e-12  # residual aimed at
_MOST_ROUNDS = 5
_ASCENTS = 4
NEAR_BIRTH = -0.5  # maxima of log c above this are tried as atoms at the next beta
_ON_ATOM = 1e-11  # ... those within this of 0 are the atoms themselves
_RISEN = 1e-9  # ... and become atoms above this


class _Course(NamedTuple):
    """How a descent goes on: two atoms on their way to one slow it down; one in their place at once is mostly right, not always."""

    most: int  # sweeps and products of conjugate gradients
    look: int  # ... from one look at the pairs of atoms to the next
    times: int  # that pairs are put together
    close: float  # squared natural distance of a pair that may meet
    closer: float  # ... of one that may be put together after that, too


_HASTY, _PATIENT = _Course(2_000, 25, 3, 0.05, 0.01), _Course(2_000, 150, 1, 0.3, 0.0)
_OF_NEW = _Course(
    400, 150, 1, 1e-3, 0.0
)  # for atoms that the search has found: what was put together wrongly before is not again


def jump(
    problem: Problem,
    beta: float,
    start: Atoms,
    near: Maxima,
    tol: float,
    max_iter: int,
    certify: Callable[[Sweep, Atoms, int], Outcome],
) -> Outcome | None:
    """The certified solution at `beta`, from the atoms and the maxima of log c at another; None where it is not found to `tol`.

    `certify` takes a state, points to look at, and the sweeps and products spent, of which there are `max_iter`.
    """
    if problem.known is None:
        return None
    hints = near.points.pick((near.log_c > NEAR_BIRTH) & (np.abs(near.log_c) > _ON_ATOM))
    way = _Jump(problem, beta, tol, max_iter, certify)
    for course in (_HASTY, _PATIENT):
        outcome = way.certified(way.settled(start, course), hints)
        if outcome is not None:
            return outcome
    return None


class _Jump:
    """One jump: the problem, where it goes, and the sweeps and products that are left for it."""

    def __init__(
        self, problem: Problem, beta: float, tol: float, max_iter: int, certify: Callable[[Sweep, Atoms, int], Outcome]
    ) -> None:
        self.problem, self.beta, self.tol, self.certify = problem, beta, tol, certify
        self.max_iter = self.left = max_iter

    def certified(self, state: Sweep | None, hints: Atoms) -> Outcome | None:
        """The certified solution above a local minimum, the points at which log c is above 0 added to its atoms."""
        for _ in range(_MOST_ROUNDS):
            if state is None:
                return None
            hints, values = self._climbed(state, hints)
            if not len(values) or not values.max() > _RISEN:
                break
            state = self._grown(state, hints, values)
        for _ in range(_MOST_ROUNDS):
            if state is None:
                return None
            outcome = self.certify(state, hints, self.max_iter - self.left)
            if outcome.gap <= self.tol:
                return outcome
            hints = outcome.maxima.points
            state = self._grown(state, hints, outcome.maxima.log_c)
        return None

    def _climbed(self, state: Sweep, points: Atoms) -> tuple[Atoms, Array]:
        """Points off the atoms after a few ascent steps, and log c there: enough to tell most of those that have risen.

        What the steps do not tell the search will, to which the points go on.
        """
        if not len(points):
            return points, np.empty(0)
        problem, log_a = self.problem, self.problem.log_px - state.log_z
        if problem.support is None:
            arrays = (problem.U, problem.UT, log_a, problem.for_kernels(points)[1], problem.for_kernels(state.atoms)[1])
            means, values = taken_up(problem.known, self.beta, *arrays, problem.link(state.atoms)[0], _ASCENTS, SAME)
            return Atoms(np.zeros(len(means)), means, None), values
        for _ in range(_ASCENTS):
            q = log_c(problem, self.beta, log_a, points)[1]
            points = Atoms(points.weights, q @ problem.U, points.face)
        points = distinct(problem, state, points)
        return points, log_c(problem, self.beta, log_a, points)[0]

    def _grown(self, state: Sweep, points: Atoms, values: Array) -> Sweep | None:
        """The local minimum with the points of largest log c as further atoms."""
        risen = points.pick(values > min(_RISEN, 0.5 * values.max()))
        return self.settled(reweight(self.problem, self.beta, join(state.atoms, risen), warm=3, newton=2), _OF_NEW)

    def settled(self, atoms: Atoms, course: _Course) -> Sweep | None:
        """The local minimum below atoms; None where the descent does not end."""
        for turn in range(_MOST_ROUNDS + course.times):
            most, close = min(course.most, self.left), course.close if turn < course.times else course.closer
            descent = descend(self.problem, self.beta, atoms, goal=_SETTLED, most=most, look=course.look, close=close)
            self.left -= descent.taken
            radius = SAME if descent.settled else close
            atoms = coalesce(self.problem, descent.state, radius) if descent.closest < radius else descent.state.atoms
            if descent.settled and len(atoms) == len(descent.state.atoms):
                return descent.state
            if self.left <= 0 or not (descent.settled or descent.closest < close):
                return None
        return None
