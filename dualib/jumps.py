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
from dualib.weights import reweight

_SETTLED = 1e-12  # residual aimed at
_MOST_ROUNDS = 5
_ASCENTS = 4
NEAR_BIRTH = -0.5  # maxima of log c above this are tried as atoms at the next beta
_ON_ATOM = 1e-11  # ... those within this of 0 are the atoms themselves
_RISEN = 1e-9  # ... and become atoms above this


class _Course(NamedTuple):
    """Sweeps and products of conjugate gradients from one look at the pairs of atoms to the next, and how close those are that meet.

    Two atoms on their way to one slow the descent down, and one that takes their place at once is mostly right; not always.
    """

    most: tuple[int, ...]
    close: float  # squared natural distance


_HASTY, _PATIENT = _Course((25, 25, 25, 2_000), 0.05), _Course((150, 2_000), 0.3)
_OF_NEW = _Course(
    (150, 400), 1e-3
)  # for atoms that the search has found: what has been put together wrongly before is not again


def jump(
    problem: Problem, beta: float, start: Atoms, near: Maxima, tol: float, certify: Callable[[Sweep, Atoms], Outcome]
) -> Outcome | None:
    """The certified solution at `beta`, from the atoms and the maxima of log c at another; None where it is not found to `tol`."""
    if problem.known is None:
        return None
    hints = near.points.pick((near.log_c > NEAR_BIRTH) & (np.abs(near.log_c) > _ON_ATOM))
    for course in (_HASTY, _PATIENT):
        outcome = _certified(problem, _settled(problem, beta, start, course), hints, tol, certify)
        if outcome is not None:
            return outcome
    return None


def _certified(
    problem: Problem, state: Sweep | None, hints: Atoms, tol: float, certify: Callable[[Sweep, Atoms], Outcome]
) -> Outcome | None:
    """The certified solution above a local minimum, the points at which log c is above 0 added to its atoms."""
    for _ in range(_MOST_ROUNDS):
        if state is None:
            return None
        hints, values = _climbed(problem, state, hints)
        if not (values > _RISEN).any():
            break
        state = _grown(problem, state, hints, values)
    for _ in range(_MOST_ROUNDS):
        if state is None:
            return None
        outcome = certify(state, hints)
        if outcome.gap <= tol:
            return outcome
        hints = outcome.maxima.points
        state = _grown(problem, state, hints, outcome.maxima.log_c)
    return None


def _climbed(problem: Problem, state: Sweep, points: Atoms) -> tuple[Atoms, Array]:
    """Points off the atoms after a few ascent steps, and log c there: enough to tell most of those that have risen.

    What the steps do not tell the search will, to which the points go on.
    """
    points, log_a = distinct(problem, state, points), np.log(problem.px) - state.log_z
    if not len(points):
        return points, np.empty(0)
    for _ in range(_ASCENTS):
        points = Atoms(points.weights, log_c(problem, state.beta, log_a, points)[1] @ problem.U, points.face)
    points = distinct(problem, state, points)
    return points, log_c(problem, state.beta, log_a, points)[0]


def _grown(problem: Problem, state: Sweep, points: Atoms, values: Array) -> Sweep | None:
    """The local minimum with the points of largest log c as further atoms."""
    risen = points.pick(values > min(_RISEN, 0.5 * values.max()))
    return _settled(problem, state.beta, reweight(problem, state.beta, join(state.atoms, risen), warm=3, newton=2), _OF_NEW)


def _settled(problem: Problem, beta: float, atoms: Atoms, course: _Course) -> Sweep | None:
    """The local minimum below atoms; None where the descent does not end."""
    looks = 0
    for _ in range(_MOST_ROUNDS + len(course.most)):
        descent = descend(problem, beta, atoms, goal=_SETTLED, most=course.most[looks])
        radius = SAME if descent.settled else course.close
        fewer = coalesce(problem, descent.state, radius) if descent.closest < radius else descent.state.atoms
        if len(fewer) == len(descent.state.atoms) and descent.settled:
            return descent.state
        if len(fewer) == len(descent.state.atoms) and looks == len(course.most) - 1:
            return None
        atoms, looks = fewer, min(looks + 1, len(course.most) - 1)
    return None
