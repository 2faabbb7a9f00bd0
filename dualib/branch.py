"""Local continuation in beta: a branch of solutions on one set of atoms, and where c touches 1 along it.

A step of `dualib.continuation` that does not converge is made shorter. Nothing in a branch asks whether it is optimal: it can be
followed past its loss of optimality, which is how that loss is located from both sides.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dualib.ascent import log_c, rise
from dualib.continuation import Point, continuous, correct
from dualib.curvature import stability_numbers
from dualib.distortions import Array
from dualib.problem import Atoms, Problem, Sweep, distance_matrix, first_of_alike, join, natural_distance
from dualib.search import softest_tilts
from dualib.settle_kernels import SAME

_SMALLEST_STEP = 1e-7  # in log beta
_APART = 1e-9  # in log beta: points that a cubic may join
_SHORTER = 0.3  # of a step that failed: where a branch ends, each failure costs as much as several steps
_ROOT = 1e-12  # accuracy of a root in log beta
_TOUCHES = 1e-11  # log c this near 0 touches
PRECISION = 1e-10  # of a located event, relative: roots are found to 1e-12, of functions with errors near 1e-13
NOISE = 3e-13  # of log c along a branch
_ASIDE = 1e-5  # in log beta: how far from a root the rise of log c is looked at
_LEVEL = 1e-13  # difference of log c that is rounding
_SEED, _TILT = 1e-3, 0.1  # weight of a cluster just born; how far the halves of one that splits start apart
_FLAT = 1e-2  # squared natural distance
_TIE = 1e-7  # stability numbers nearer to 1 than this may belong to one split
_BACK = 1e-2  # how far behind a point past its loss a root is looked for, in log beta
_MOST_ROUNDS = 30
_MOST_TRIES = 400  # steps of one branch; the hardest that lead to an event take about a hundred
POSITIVE = 1e-13  # log c above this is a violation


class BrokenBranch(ArithmeticError):
    """A branch could not be followed between two betas that it was known to reach."""


class Branch:
    """The solutions on one set of atoms, by beta; the order of the atoms is kept."""

    def __init__(self, problem: Problem, state: Sweep) -> None:
        self.problem = problem
        self.states: dict[float, Sweep] = {state.beta: state}
        self._points: dict[float, Point | None] = {}
        self._tries = 0

    def at(self, beta: float, first: float = 0.5, smallest: float = _SMALLEST_STEP) -> Sweep | None:
        """The state at `beta`, by steps in log beta, the `first` and all not below `smallest`; None where it does not get there."""
        step = first
        while beta not in self.states:
            self._tries += 1
            if self._tries > _MOST_TRIES:  # it winds around a fold in the smallest of steps
                return None
            start, away = self._step(beta, step)
            reached = start is not None
            step = 2.0 * step if reached else _SHORTER * min(step, abs(away))
            if not reached and step < smallest:
                return None
        return self.states[beta]

    def _step(self, beta: float, longest: float) -> tuple[float | None, float]:
        """One step towards `beta`, kept where it succeeds: where it led, None where it failed, and how far away `beta` was."""
        nearest, start, other = self._nearest(beta)
        away = math.log(beta / nearest)
        target = beta if abs(away) <= longest else nearest * math.exp(math.copysign(longest, away))
        predicted = start is not None and start.ahead(other, target) is not None
        if start is not None and predicted and target != beta:
            point = start.stepped(self.problem, other, target)
            if point is not None:
                self._points[target] = point
            return None if point is None else target, away
        if start is not None and predicted:
            state = start.corrected(self.problem, other, target)
        else:  # no tangent, or not one that leads anywhere, as where two clusters all but coincide
            atoms = self.states[nearest].atoms if start is None else start.atoms
            state = correct(self.problem, target, atoms)
            if state is not None and not continuous(self.problem, target, atoms, state.atoms):
                state = None
        if state is not None:
            self.states[target] = state
        return None if state is None else target, away

    def _nearest(self, beta: float) -> tuple[float, Point | None, Point | None]:
        """The known beta nearest to this one in ratio, its point, and the next point that is not all but the same."""

        def ratio(known: float) -> float:
            return abs(math.log(known / beta))

        nearest = min((*self.states, *self._points), key=ratio)
        if nearest not in self._points:
            self._points[nearest] = Point.reached(self.problem, nearest, self.states[nearest].atoms)
        start = self._points[nearest]
        others = [
            known for known, point in self._points.items() if point is not None and abs(math.log(known / nearest)) > _APART
        ]
        return nearest, start, self._points[min(others, key=ratio)] if others else None

    def between(self, beta: float) -> Sweep:
        """The state at a beta between known ones, which the branch is known to reach."""
        state = self.at(beta)
        if state is None:
            raise BrokenBranch(f"the branch breaks off near beta = {beta!r}")
        return state


def ascend(problem: Problem, state: Sweep, points: Atoms, steps: int = 6) -> tuple[Atoms, Array]:
    """Move points up log c at a state: Newton steps where they climb, else the centroid step; the values."""
    log_a = problem.log_px - state.log_z
    if problem.distortion.fixed_atoms:
        return points, log_c(problem, state.beta, log_a, points)[0]
    return rise(problem, state.beta, log_a, points, steps)


def halves(problem: Problem, state: Sweep, t: int) -> Atoms:
    """Two atoms of half the weight, moved apart along the direction in which atom t is softest."""
    members = state.posterior[t] * problem.px
    members = members / members.sum()
    tilt = softest_tilts(problem, state.atoms.pick(np.array([t])), members[None, :])[0]
    rows = members * (1.0 + _TILT * np.outer([1.0, -1.0], tilt))
    halves = problem.atoms_from_members(rows / rows.sum(axis=1, keepdims=True))
    return Atoms(np.full(len(halves), 0.5 * state.atoms.weights[t]), halves.means, halves.face)


@dataclass(frozen=True)
class Loss:
    """Where a branch stops being optimal.

    Attributes
    ----------
    beta : float
    state : Sweep
        The branch there.
    born : Atoms
        The points off the atoms at which c is 1 there; none for a split.
    splitting : (n_t,) bool
        Atoms whose stability number is 1 there.
    precision : float
        Of `beta`, relative: where c rises slowly, its rounding moves the root.
    """

    beta: float
    state: Sweep
    born: Atoms
    splitting: np.ndarray
    precision: float

    @property
    def multiplicity(self) -> int:
        """How many clusters begin, or divide, at once."""
        return len(self.born) + int(np.sum(self.splitting))

    def grown(self, problem: Problem) -> Atoms:
        """The atoms of the branch with a little weight on each point born, and each splitting atom in two halves apart."""
        atoms = self.state.atoms
        new = Atoms(np.full(len(self.born), _SEED), self.born.means, self.born.face)
        for t in np.flatnonzero(self.splitting):
            new = join(new, halves(problem, self.state, int(t)))
        kept = Atoms(np.where(self.splitting, 0.0, atoms.weights), atoms.means, atoms.face)
        return join(kept.pick(~self.splitting), new).normalised()

    def is_jump(self, problem: Problem) -> bool:
        """Whether other weights on the atoms and the touching points have the same Z, hence the same objective.

        Then a whole segment of solutions is optimal here: the columns L(., s) of all these points are linearly dependent.
        """
        if not len(self.born):
            return False
        log_a = problem.log_px - self.state.log_z
        q = log_c(problem, self.beta, log_a, join(self.state.atoms, self.born))[1]
        columns = (q / np.sqrt(problem.px)).T
        columns /= np.linalg.norm(columns, axis=0)
        if columns.shape[1] > columns.shape[0]:
            return True
        return bool(np.linalg.svd(columns, compute_uv=False)[-1] < 1e-6)


def find_loss(branch: Branch, start: float, end: float, hints: Atoms) -> Loss | None:
    """The beta nearest to `start`, on the way to `end`, at which the branch loses optimality; None where it does not.

    Newton's method on the maximum over s, as in `onset`: from a beta with violations at some points s, go to the root of
    log c(s) at fixed s that is nearest to `start`, let the points climb again there, and so on until nothing violates.
    """
    problem = branch.problem
    state = branch.at(end)
    if state is None:
        return None
    splitting = np.zeros(len(state.atoms), dtype=bool)
    found = False
    for _ in range(_MOST_ROUNDS):
        beta = state.beta
        points, values = touching(problem, state, hints)
        unstable = _unstable(problem, state) & ~splitting
        violating = np.flatnonzero(values > POSITIVE)
        if not len(violating) and not unstable.any():
            break
        before, stable_until = beta, []
        if len(violating):  # one at a time: where another still violates there, it is next
            before = _point_root(branch, points, int(np.argmax(values)), start, beta)
        for t in np.flatnonzero(unstable).tolist():
            root = _stability_root(branch, t, start, before)
            if root is not None:
                stable_until.append((root, t))
                before = root
        found = True
        for root, t in stable_until:
            splitting[t] = abs(math.log(root / before)) < 1e-9
        if not unstable.any() and abs(math.log(before / beta)) < _ROOT:
            break
        state = branch.at(before)
        if state is None:
            return None
        hints = join(hints, points)
    if not found:
        return None
    if splitting.any():
        splitting &= np.abs(stability_numbers(problem, state) - 1.0) < _TIE
    points = _tops(problem, state.beta, points, values)
    if splitting.any() and len(points):
        # beside an atom that is about to split log c is flat to fourth order: what lies there is that atom
        near = distance_matrix(problem, state.beta, points, state.atoms.pick(splitting)) < _FLAT
        points = points.pick(np.asarray(~near.any(axis=1)))
    return Loss(state.beta, state, points, splitting, _precision(branch, state.beta, end, points))


def _precision(branch: Branch, beta: float, end: float, born: Atoms) -> float:
    """How sure a root of log c is, from how fast it rises past it."""
    beyond = beta * math.exp(math.copysign(min(_ASIDE, abs(math.log(end / beta))), math.log(end / beta)))
    state = branch.at(beyond) if len(born) and beyond != beta else None
    if state is None:
        return PRECISION
    rise = float(np.max(ascend(branch.problem, state, born)[1]))
    return max(PRECISION, NOISE * abs(math.log(beyond / beta)) / rise) if rise > 0.0 else _ASIDE


def _tops(problem: Problem, beta: float, points: Atoms, values: Array) -> Atoms:
    """The points that touch, without those on the flank of a higher one: beside an atom soon to split log c is all but flat."""
    points, values = points.pick(values > -_TOUCHES), values[values > -_TOUCHES]
    near = distance_matrix(problem, beta, points, points) < _FLAT
    flank = near & (values[None, :] > values[:, None] + _LEVEL)
    return points.pick(np.asarray(~flank.any(axis=1)))


def _unstable(problem: Problem, state: Sweep) -> np.ndarray:
    return stability_numbers(problem, state) > 1.0


def touching(problem: Problem, state: Sweep, hints: Atoms, rounds: int = 5) -> tuple[Atoms, Array]:
    """Distinct local maxima of log c off the atoms, reached from the hints, and their values."""
    points = distinct(problem, state, hints)
    for _ in range(rounds):
        if not len(points):
            return points, np.empty(0)
        before, points = points, ascend(problem, state, points)[0]
        moved = natural_distance(problem, state.beta, before, points)
        points = distinct(problem, state, points)
        if np.max(moved) < 1e-20:
            break
    return points, log_c(problem, state.beta, problem.log_px - state.log_z, points)[0]


def distinct(problem: Problem, state: Sweep, points: Atoms) -> Atoms:
    """The points that are on no atom and on no earlier point."""
    if not len(points):
        return points
    points = Atoms(np.zeros(len(points)), points.means, points.face)
    if problem.distortion.fixed_atoms:
        keep = ~(points.means @ state.atoms.means.T > 0.5).any(axis=1)
        order = np.unique(np.argmax(points.means, axis=1), return_index=True)[1]
        return points.pick(np.array([j for j in np.sort(order) if keep[j]], dtype=int))
    return first_of_alike(problem, state.beta, points, state.atoms, SAME)


def _root(value: Callable[[float], float], start: float, end: float) -> float:
    """The root of a function of log beta, positive at `end`, on the way to `start`: bracketed by secant steps, then `brentq`.

    A point within the tolerance of a certificate may lie a little past the loss: the way goes on a little behind `start`.
    """
    value = functools.cache(value)  # its warm starts would make it differ from call to call
    near, far = math.log(end), math.log(start)
    limit = far + math.copysign(_BACK, far - near)
    positive, height = near, value(near)
    if height <= 0.0:  # a violation that is only rounding: the root is here
        return end
    x = near + math.copysign(min(1e-4, 0.1 * abs(far - near) + 1e-7), far - near)
    while (level := value(x)) > 0.0:
        if x == limit:
            return start
        slope = (height - level) / abs(x - positive)
        step = 1.3 * level / slope if slope > 0.0 else math.inf
        step = min(max(step, 1e-9, abs(x - positive)), max(abs(far - x) / 2.0, _BACK / 4.0))
        positive, height = x, level
        x = x + math.copysign(min(step, abs(limit - x)), far - near)
    low, high = sorted((x, positive))
    from scipy.optimize import brentq  # here, for it takes a fifth of a second

    return math.exp(brentq(value, low, high, xtol=_ROOT, rtol=4.0 * np.finfo(float).eps))


def _stability_root(branch: Branch, t: int, start: float, end: float) -> float | None:
    """Where the stability number of atom t crosses 1, between `start` and `end`; None where it is below 1 at `end` already."""

    def value(log_beta: float) -> float:
        state = branch.between(math.exp(log_beta))
        members = state.posterior[[t]] * branch.problem.px
        number = branch.problem.stability(state.new.pick(np.array([t])), members / members.sum())[0]
        return float(state.beta * number - 1.0)

    if value(math.log(end)) < -_TIE:
        return None
    return _root(value, start, end)


def _point_root(branch: Branch, points: Atoms, j: int, start: float, end: float) -> float:
    """Where log c at the local maximum that is point j at `end` crosses 0.

    Where the maximum has run into an atom on the way, log c there is 0 of itself; the point last seen apart is then looked at as
    it is.
    """
    problem = branch.problem
    known = {end: points.pick(np.array([j]))}

    def value(log_beta: float) -> float:
        state = branch.between(math.exp(log_beta))
        point = known[min(known, key=lambda beta: abs(math.log(beta / state.beta)))]
        risen, values = ascend(problem, state, point, steps=4)
        if len(distinct(problem, state, risen)):
            known[state.beta] = risen
            return float(values[0])
        return float(log_c(problem, state.beta, problem.log_px - state.log_z, point)[0][0])

    return _root(value, start, end)
