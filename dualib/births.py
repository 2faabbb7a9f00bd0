"""Where a cluster is born, located on the branch that lacks it.

That branch passes through the event without any singularity, while the one that has the cluster may be steep there: where a cluster
is born beside another, which all but splits, its weight first grows with so large a slope that the branch seems to fold, and neither
tangents nor polynomials in beta tell where the weight is 0. So ``log c`` at the maximum that becomes the cluster is followed along
the branch without it, to its root, by Newton's method in log beta; from that root the branch that has the cluster is taken up anew.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dualib.ascent import log_c, newton_means
from dualib.branch import NOISE, PRECISION
from dualib.continuation import Point, continuous, correct, cubic
from dualib.problem import Atoms, Problem, Sweep, distance_matrix, join, natural_distance, sweep
from dualib.search_kernels import LEAP

_MOST_ROUNDS = 15
_ROOT = 1e-13  # accuracy of the root, in log beta
_APART = 1e-9  # squared natural distance from an atom, from which on a maximum is another than its own
_BESIDE = 0.1  # squared natural distance of points whose heights are compared by the gradient between them
_NODES, _SHARES = (0.5 * (part + shift) for part, shift in zip(np.polynomial.legendre.leggauss(8), (1.0, 0.0), strict=True))
_MOST_STEPS = 20  # to a maximum of log c
_AT_REST = 1e-28  # squared natural distance of the last such step
_SETTLED = 1e-8  # ... of one that may be rounding, in that from the atom
_DIFFERENCE = 1e-5  # in log beta, of the slope of log c
_LONGEST = 0.1  # step, in log beta
_FARTHEST = 0.1  # below a point with the cluster, in log beta
_REDISTRIBUTED = 1.0  # squared natural distance up to which a neighbour takes over the cluster's members


@dataclass(frozen=True)
class Birth:
    """Where log c reaches 0 off the atoms of a branch.

    Attributes
    ----------
    point : Point
        The branch there.
    state : Sweep
    mean : Atoms
        The maximum of log c that touches 0, without weight.
    precision : float
        Of its beta, relative.
    """

    point: Point
    state: Sweep
    mean: Atoms
    precision: float


def find_birth(
    problem: Problem, beta: float, atoms: Atoms, mean: Atoms, *, rising: bool, within: tuple[float, float]
) -> Birth | None:
    """The root of log c at a maximum along a branch, by Newton's method from `beta`; None where that fails.

    Parameters
    ----------
    beta, atoms : float, Atoms
        Where to begin, and the branch near there.
    mean : Atoms
        The maximum near there, one point.
    rising : bool
        Whether log c rises with beta, through 0; else it falls.
    within : (float, float)
        Betas between which the root must be. Where there is no maximum at a beta, the next one tried is half way to that of these
        on whose side log c is positive.
    """
    sign = 1.0 if rising else -1.0
    last: tuple[float, float, float] | None = None  # log beta, log c and its slope at the maximum seen before
    for _ in range(_MOST_ROUNDS):
        here = Point.reached(problem, beta, atoms)
        state = None if here is None else correct(problem, beta, here.atoms)
        if here is None or state is None:
            return None
        top = _top(problem, state, mean)
        if top is None:
            beta = math.sqrt(beta * within[1 if rising else 0])
        else:
            mean, height, noise = top
            slope = _slope(problem, here, mean)
            if not sign * slope > 0.0:
                return None
            if abs(height) <= max(_ROOT * abs(slope), 0.1 * noise):
                return Birth(here, state, mean, max(PRECISION, noise / abs(slope)))
            seen = math.log(beta), height, slope
            beta *= math.exp(_to_root(seen, last))
            last = seen
        ahead = here.ahead(None, beta)
        if ahead is None or not within[0] < beta < within[1]:
            return None
        atoms = ahead
    return None


def _to_root(here: tuple[float, float, float], last: tuple[float, float, float] | None) -> float:
    """The step to the root of a function from its values and slopes at two points: the cubic's, where that is near Newton's."""
    x, value, slope = here
    newton = -value / slope
    if last is not None and last[0] != x:
        step = newton
        for _ in range(10):
            height, rise = cubic(step, last[0] - x, (value, slope), last[1:])
            if not rise * slope > 0.0:
                step = math.inf
                break
            step -= height / rise
        if 0.2 < step / newton < 5.0:
            newton = step
    return min(max(newton, -_LONGEST), _LONGEST)


def vanished(problem: Problem, above: Point, before: Point | None, t: int, away: float) -> Birth | None:
    """The birth of cluster t of the branch above, sought from `away` below it, in log beta; None where that fails.

    Parameters
    ----------
    above, before : Point
        The last two points of the branch that has the cluster.
    """
    mean = above.atoms.pick(np.array([t]))
    mean = Atoms(np.zeros(1), mean.means, mean.face)
    beta, within = above.beta * math.exp(-away), (above.beta * math.exp(-_FARTHEST), above.beta)
    start = _without(problem, above, before, t, beta)
    return None if start is None else find_birth(problem, beta, start, mean, rising=True, within=within)


def _without(problem: Problem, point: Point, before: Point | None, t: int, beta: float) -> Atoms | None:
    """The atoms at `beta` without cluster t, whose members its neighbour takes over where that is near; None where others vanish."""
    atoms = point.atoms
    others = np.flatnonzero(np.arange(len(atoms)) != t)
    if not len(others):
        return None
    distance = distance_matrix(problem, point.beta, atoms.pick(np.array([t])), atoms.pick(others))[0]
    j = others[int(np.argmin(distance))]
    if problem.distortion.fixed_atoms or distance.min() > _REDISTRIBUTED:
        ahead = point.predicted(before, beta).pick(others)
        return ahead.normalised() if (ahead.weights > 0.0).all() else None
    weights, means = atoms.weights.copy(), atoms.means.copy()
    weights[j] += weights[t]
    means[j] = (atoms.weights[j] * means[j] + atoms.weights[t] * means[t]) / weights[j]
    return Atoms(weights, means, atoms.face).pick(others)


def _top(problem: Problem, state: Sweep, start: Atoms) -> tuple[Atoms, float, float] | None:
    """The maximum of log c near `start`, its value, and what is rounding of it; None where that is none, or has run into an atom.

    By undamped steps for a stationary point: where log c is so flat, a climb would stop at the rounding of its values.
    """
    log_a = problem.log_px - state.log_z
    if problem.distortion.fixed_atoms:
        return start, float(log_c(problem, state.beta, log_a, start)[0][0]), NOISE
    mean, moved = start, math.inf
    for _ in range(_MOST_STEPS):
        _, q = log_c(problem, state.beta, log_a, mean)
        stepped = Atoms(mean.weights, newton_means(problem, state.beta, mean, q, q @ problem.U), mean.face)
        last, moved = moved, float(natural_distance(problem, state.beta, mean, stepped)[0])
        if not moved < LEAP:
            return None
        mean = stepped
        if moved < _AT_REST or (moved >= last and last < _SETTLED):
            break
    own = problem.atoms_from_members(q)  # back to a true mean
    mean = Atoms(mean.weights, own.means, mean.face)
    apart = float(distance_matrix(problem, state.beta, mean, state.atoms).min())
    if not (
        moved < _SETTLED * apart and apart > _APART and float(natural_distance(problem, state.beta, start, mean)[0]) < LEAP
    ):
        return None
    return mean, _height(problem, state, mean), NOISE * min(math.sqrt(apart), 1.0)


def _height(problem: Problem, state: Sweep, mean: Atoms) -> float:
    """Log c at a point, whose value near an atom is the integral of its gradient from there, where it is 0.

    Between an atom that all but splits and what begins beside it log c differs by the fourth power of their distance, which would
    be lost in the rounding of the values themselves.
    """
    log_a = problem.log_px - state.log_z
    distance = distance_matrix(problem, state.beta, mean, state.atoms)[0]
    if distance.min() > _BESIDE:
        return float(log_c(problem, state.beta, log_a, mean)[0][0])
    atom = state.atoms.pick(np.array([int(np.argmin(distance))]))
    step = mean.means - atom.means
    way = Atoms(
        np.zeros(len(_NODES)),
        atom.means + _NODES[:, None] * step,
        None if mean.face is None else np.repeat(mean.face, len(_NODES), axis=0),
    )
    force = log_c(problem, state.beta, log_a, way)[1] @ problem.U - way.means
    along = np.matmul(problem.jacobian(way), step[0])
    return state.beta * float(_SHARES @ np.sum(force * along, axis=1))


def _slope(problem: Problem, here: Point, mean: Atoms) -> float:
    """The derivative by log beta, along the branch, of log c at a maximum: at fixed s, as the maximum has no slope in s.

    0 where a cluster of the branch is itself about to vanish.
    """
    values = []
    for step in (_DIFFERENCE, -_DIFFERENCE):
        beta = here.beta * math.exp(step)
        ahead = here.ahead(None, beta)
        if ahead is None:
            return 0.0
        state = sweep(problem, beta, ahead)
        values.append(_height(problem, state, mean))
    return (values[0] - values[1]) / (2.0 * _DIFFERENCE)


def beside(problem: Problem, birth: Birth, away: float) -> Sweep | None:
    """The branch that has the cluster, its last one, so far above the event, in log beta; None where Newton's method fails."""
    beta = birth.point.beta * math.exp(away)
    ahead = birth.point.ahead(None, beta)
    if ahead is None:
        return None
    grown = join(ahead, Atoms(np.array([away]), birth.mean.means, birth.mean.face)).normalised()
    state = correct(problem, beta, grown)  # in the weights the system is all but linear: where to start makes no difference
    return state if state is not None and continuous(problem, beta, grown, state.atoms) else None
