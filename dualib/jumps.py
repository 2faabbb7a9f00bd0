"""From one beta straight to another, past whatever happens in between: for curves whose events are not asked for.

The atoms descend to a local minimum at the new beta, without those that lose their weight or their place to another on the way,
and the maxima of log c that rise above 0 become atoms. All of this may go wrong where much happens in between: the result counts
only once it is certified. As long as nothing is missing at one beta after the other, all of that is one kernel (`walk`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from dualib.ascent import log_c
from dualib.branch import distinct
from dualib.distortions import Array
from dualib.gap import Kind, proof_of_walk, provable, provable_in_walk
from dualib.jit import python_only
from dualib.optimise import Outcome
from dualib.problem import Atoms, Problem, Sweep, distance_matrix, join, swept_at
from dualib.search import Maxima
from dualib.settle_kernels import SAME, settled_known
from dualib.start_kernels import taken_up
from dualib.starts import starts_of_walk
from dualib.walk_kernels import ASCENTS, NEAR_BIRTH, NOWHERE, ON_ATOM, RISEN, SETTLED, walked_known
from dualib.weights import reweight

_MOST_ROUNDS = 5
_FELL = -1.0  # maxima of log c above this may be above 0 at the beta before
_NEIGHBOURS = 200.0  # squared natural distance within which clusters give way to a new one at once
_NEW = 0.1  # squared natural distance from all atoms of one that is new
NO_PROOF = (
    np.empty(0, dtype=np.intp),
    np.empty(0),
    np.empty(0),
    np.empty((0, 0)),
    np.empty((0, 0, 0)),
    np.empty((0, 0)),
    0.0,
    0,
)


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


class Walk(NamedTuple):
    """How far a walk came.

    Attributes
    ----------
    outcomes : list of Outcome
        Certified, at the first of the betas wanted.
    last : Outcome or None
        At the beta after these: a local minimum with a cluster missing, or whose gap is open; None where there is none.
    stuck : bool
        Whether the walk ended because of that beta.
    """

    outcomes: list[Outcome]
    last: Outcome | None
    stuck: bool


def can_walk(problem: Problem) -> bool:
    """Whether there is a kernel for whole walks, which can prove what can be proved."""
    known = problem.known is not None and problem.support is None
    return known and (provable_in_walk(problem) or not provable(problem))


def walk(
    problem: Problem,
    betas: Sequence[float],
    start: Atoms,
    near: Maxima,
    tol: float,
    max_iter: int,
    rng: np.random.Generator,
    effort: float,
    *,
    prove: bool,
) -> Walk:
    """Certified outcomes at betas, each from the one before, on a problem that `can_walk`.

    The first from atoms and the maxima of log c at another beta. These are jumps, all in one kernel. It ends where one cluster is
    left on the way down, and earlier where a jump has to do more than descend and search; there `jump` goes on. The numbers drawn
    from `rng` do not depend on how many betas are given at once.
    """
    proving, random = prove and provable(problem), rng.bit_generator.state
    _, points, _, _ = problem.for_kernels(near.points)
    arrays = (problem.px, problem.U, problem.pxU, problem.UT, problem.log_px, *problem.for_kernels(start)[:2])
    known = (*arrays, points, near.log_c)
    interpreted = walked_known.interprets(*known) and not python_only()  # then its time is limited
    betas = betas[:1] if interpreted else betas
    sources = starts_of_walk(problem.n, len(betas), rng, effort)
    proof = proof_of_walk(problem, hasty=interpreted) if proving else NO_PROOF
    stage, states = walked_known(problem.known, np.array(betas), *known, tol, max_iter, tuple(_HASTY), sources, proof)
    begun = len(states) + (stage == NOWHERE)
    if begun < len(betas):
        rng.bit_generator.state = random
        starts_of_walk(problem.n, begun, rng, effort)
    outcomes = [_outcome(problem, "rigorous" if proving else "multistart", *state) for state in states]
    last = outcomes.pop() if stage == SETTLED else None
    return Walk(outcomes, last, stage in (NOWHERE, SETTLED))


def _outcome(problem: Problem, certificate: Kind, numbers: Array, *arrays: Array) -> Outcome:
    """One state of `walked_known`."""
    beta, value, residual, gap, taken = numbers.tolist()
    weights, means, posterior, log_z, c, new_weights, new_means, points, heights = arrays
    atoms, new = Atoms(weights, means, None), Atoms(new_weights, new_means, None)
    state = Sweep(atoms, beta, beta * problem.constant - value, posterior, log_z, c, new, residual)
    maxima = Maxima(Atoms(np.zeros(len(heights)), points, None), heights)
    return Outcome(state, gap, certificate, maxima, int(taken))


def missing(problem: Problem, outcome: Outcome, beside: Outcome) -> bool:
    """Whether log c is above 0 at an outcome near what was found at a beta beside it: maxima of log c, and new atoms."""
    state, other, maxima = outcome.state, beside.state.atoms, beside.maxima
    new = other.pick(distance_matrix(problem, state.beta, other, state.atoms).min(axis=1) > _NEW)
    points = join(maxima.points.pick((maxima.log_c > _FELL) & (np.abs(maxima.log_c) > ON_ATOM)), new)
    return bool((_climbed(problem, state, points)[1] > RISEN).any())


def _climbed(problem: Problem, state: Sweep, points: Atoms) -> tuple[Atoms, Array]:
    """Points off the atoms after a few ascent steps, and log c there: enough to tell most of those that have risen.

    What the steps do not tell the search will, to which the points go on.
    """
    if not len(points):
        return points, np.empty(0)
    log_a = problem.log_px - state.log_z
    if problem.support is None:
        arrays = (problem.U, problem.UT, log_a, problem.for_kernels(points)[1], problem.for_kernels(state.atoms)[1])
        means, values = taken_up(problem.known, state.beta, *arrays, problem.link(state.atoms)[0], ASCENTS, SAME)
        return Atoms(np.zeros(len(means)), means, None), values
    for _ in range(ASCENTS):
        q = log_c(problem, state.beta, log_a, points)[1]
        points = Atoms(points.weights, q @ problem.U, points.face)
    points = distinct(problem, state, points)
    return points, log_c(problem, state.beta, log_a, points)[0]


def jump(
    problem: Problem,
    beta: float,
    start: Atoms,
    near: Maxima,
    tol: float,
    max_iter: int,
    certify: Callable[[Sweep, Atoms, int], Outcome],
    walked: Walk | None = None,
) -> Outcome | None:
    """The certified solution at `beta`, from the atoms and the maxima of log c at another; None where it is not found to `tol`.

    `certify` takes a state, points to look at, and the sweeps and products spent, of which there are `max_iter`. It goes on from the
    end of a walk that has come here.
    """
    if problem.known is None:
        return None
    way = _Jump(problem, beta, tol, max_iter, certify)
    if walked is not None and walked.last is not None:
        outcome = way.certified_further(walked.last)
        if outcome is not None:
            return outcome
    for course in (_HASTY, _PATIENT) if walked is None else (_PATIENT,):
        outcome = way.certified(way.settled(start, course), _to_try(near))
        if outcome is not None:
            return outcome
    return None


def _to_try(maxima: Maxima) -> Atoms:
    """The maxima of log c off the atoms that may have risen above 0 at the next beta."""
    return maxima.points.pick((maxima.log_c > NEAR_BIRTH) & (np.abs(maxima.log_c) > ON_ATOM))


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
            hints, values = _climbed(self.problem, state, hints)
            if not len(values) or not values.max() > RISEN:
                break
            state = self._grown(state, hints, values)
        return None if state is None else self._searched(state, hints)

    def certified_further(self, last: Outcome) -> Outcome | None:
        """The same from the end of a walk."""
        self.left -= last.n_iter
        if last.gap == np.inf:
            return self.certified(last.state, _to_try(last.maxima))
        grown = self._grown(last.state, last.maxima.points, last.maxima.log_c)
        return None if grown is None else self._searched(grown, last.maxima.points, grown=True)

    def _searched(self, state: Sweep, hints: Atoms, *, grown: bool = False) -> Outcome | None:
        """Certified, what the search finds above 0 added to the atoms."""
        for _ in range(_MOST_ROUNDS):
            outcome = self.certify(state, hints, self.max_iter - self.left)
            if outcome.gap <= self.tol:
                return replace(outcome, grown=grown)
            grown, hints = True, outcome.maxima.points
            larger = self._grown(state, hints, outcome.maxima.log_c)
            if larger is None:
                break
            state = larger
        return None

    def _grown(self, state: Sweep, points: Atoms, values: Array) -> Sweep | None:
        """The local minimum with the points of largest log c as further atoms."""
        risen = points.pick(values > min(RISEN, 0.5 * values.max()))
        apart = distance_matrix(self.problem, self.beta, risen, state.atoms).min(axis=0)
        near = np.concatenate([apart < _NEIGHBOURS, np.ones(len(risen), dtype=bool)])  # the descent brings news to all others
        return self.settled(reweight(self.problem, self.beta, join(state.atoms, risen), warm=3, newton=2, free=near), _OF_NEW)

    def settled(self, atoms: Atoms, course: _Course) -> Sweep | None:
        """The local minimum below atoms; None where the descent does not end."""
        problem = self.problem
        arrays = (problem.px, problem.U, problem.pxU, problem.UT, *problem.for_kernels(atoms))
        settled, kept, taken, *ended = settled_known(problem.known, self.beta, *arrays, self.left, *course)
        self.left -= taken
        return swept_at(problem, self.beta, None if atoms.face is None else atoms.face[kept], *ended) if settled else None
