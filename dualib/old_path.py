"""Certified solves along beta, each started from a neighbour: what `anneal` and `solve_at` walk on."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dualib.assemble import assemble, assemble_all
from dualib.births import find_birth
from dualib.branch import Branch, BrokenBranch, Loss, find_loss, touching
from dualib.continuation import correct
from dualib.curvature import size_of
from dualib.jumps import can_walk, jump, missing, walk
from dualib.local import polish
from dualib.optimise import Outcome, certified, initial_atoms, optimise, without_idle
from dualib.problem import Atoms, Problem, Sweep, distance_matrix, join
from dualib.results import Solution
from dualib.search import Maxima
from dualib.settle_kernels import SAME
from dualib.solver import status_of, warn_unless_converged
from dualib.threads import one_blas_thread
from dualib.vanishing import Descent, Vanishing
from dualib.walk_kernels import NEAR_BIRTH
from dualib.weights import reweight

_EFFORT = 0.25  # of the search at a state whose maxima are known from one near by: from all sources still
_FOLLOWED = 3_000  # unknowns up to which a branch is followed by Newton's method
_FARTHEST = 0.7  # ... and how far, in log beta
_MOST_BIRTHS = 20  # on the way from one point to the next
_PROGRESS = 1e-4  # in log beta, from one birth to the next: where they crowd all means are quicker
TOUCHES = 1e-11  # log c this near 0 touches
_BEHIND = 1e-3  # in log beta, how far below a state that has lost optimality the way to the loss may lead
_MOST_SEARCHES = 4  # for the first of several births
_BELOW = (
    1e-5,
    1e-6,
    2e-7,
)  # how far past a birth, in log beta, the path is solved again: the farthest from which the branch is found


def can_follow(path: Path) -> bool:
    """Whether every point so far is small enough for its branch to be followed by Newton's method."""
    return all(size_of(outcome.state.atoms, path.problem) <= _FOLLOWED for outcome in path.outcomes.values())


class Path:
    """The points solved so far, by beta."""

    def __init__(self, problem: Problem, tol: float, max_iter: int, rng: np.random.Generator, *, prove: bool = True) -> None:
        self.problem, self.tol, self.max_iter, self.rng, self.prove = problem, tol, max_iter, rng, prove
        self.outcomes: dict[float, Outcome] = {}
        self.births: dict[float, Loss] = {}  # on the way down, by the beta of the outcome right below
        self.single: Outcome | None = None  # one cluster, certified at the largest beta so far
        self.sure: Outcome | None = None  # the same where it was searched for with all effort
        self._solutions: dict[float, Solution] = {}
        self._pieces: dict[float, int] = {}
        self._numbers = itertools.count()
        self._first: dict[int, Sweep] = {}
        self._descents: dict[int, Descent] = {}

    def points(self) -> list[float]:
        """The solved betas, ascending, without those that only lead from one to the other."""
        return sorted(self.outcomes.keys() - self.births.keys())

    def solve(self, beta: float, start: float | None = None) -> Outcome:
        """Solve one beta, from the outcome at beta `start` (None: from scratch): below it along its branch, through births."""
        single = self._solved_single(beta, start)
        if single is not None:
            return single
        if start is not None:
            start = min((birth for birth in self.births if beta < birth < start), default=start)
        for _ in range(_MOST_BIRTHS):
            followed = None if start is None else self._followed_down(beta, start)
            if start is None or followed is None:
                break
            below = self._past_birth(followed, start) if followed.violation > TOUCHES else None
            if below is None or not below > beta:
                if followed.gap <= self.tol and followed.state.beta == beta:
                    return self.add(beta, followed, self._pieces[start])
                break
            crowded = math.log(start / below) < _PROGRESS
            start = below
            if crowded:
                break
        return self.solve_anew(beta, start)

    def jump(self, beta: float, start: float | None = None) -> Outcome:
        """Solve one beta, from the outcome at beta `start` (None: from scratch), whatever happens between the two."""
        self.walk([beta], start)
        return self.outcomes[beta]

    def walk(self, betas: Sequence[float], start: float | None = None) -> int:
        """Solve the first of some betas, each by a jump from the one before: how many, as many as a kernel does and at least one.

        What the search finds at the last is looked for at those before, too.
        """
        done, before = 0, start
        while done < len(betas) and self._solved_single(betas[done], before) is not None:
            done, before = done + 1, betas[done]
        if done > 0:
            return done
        done = self._walked(betas, start)
        if self.outcomes[betas[done - 1]].grown:
            self._look_back(betas[done - 1], start if done == 1 else betas[done - 2])
        return done

    def _look_back(self, beta: float, before: float | None) -> None:
        """Solve the points before one anew, as long as what was found there was missing."""
        points = self.points()
        while before is not None and missing(self.problem, self.outcomes[before], self.outcomes[beta]):
            self.solve_anew(before, beta)
            following = points.index(before) + (1 if before > beta else -1)
            beta, before = before, points[following] if 0 <= following < len(points) else None

    def _walked(self, betas: Sequence[float], start: float | None) -> int:
        """The same without a look back from the last."""
        if start is None:
            betas, effort = betas[:1], 1.0
            atoms = initial_atoms(self.problem)
            maxima = Maxima(atoms.pick(np.arange(0)), np.empty(0))
        else:
            betas, effort = self._not_single(betas), _EFFORT
            atoms, maxima = self.outcomes[start].state.atoms, self.outcomes[start].maxima
        walked, done = None, 0
        if can_walk(self.problem):
            limits = (self.tol, self.max_iter, self.rng, effort)
            walked = walk(self.problem, betas, atoms, maxima, *limits, prove=self.prove)
            for beta, found in zip(betas, walked.outcomes, strict=False):
                self.add(beta, found)
                done, start, atoms, maxima = done + 1, beta, found.state.atoms, found.maxima
            if not walked.stuck:
                return done
        certify = functools.partial(self._certified, effort=effort)
        outcome = jump(self.problem, betas[done], atoms, maxima, self.tol, self.max_iter, certify, walked)
        if outcome is None:
            self.solve_anew(betas[done], start)
        else:
            self.add(betas[done], outcome)
        return done + 1

    def _not_single(self, betas: Sequence[float]) -> Sequence[float]:
        """The betas up to the first at which one cluster is known to be optimal."""
        least = -math.inf if self.single is None else self.single.state.beta
        return list(itertools.takewhile(lambda beta: beta >= least, betas))

    def _followed_down(self, beta: float, start: float) -> Outcome | None:
        """The certified state at `beta` on the branch of a point above, or as far as that goes; None where it goes nowhere."""
        near, descent = self.outcomes[start], self._descent(start) if beta < start else None
        state = None if descent is None else descent.at(beta) or descent.lowest()
        if state is None or not state.beta < start:
            return None
        return self._certified(state, near.maxima.points, 1, _EFFORT)

    def _past_birth(self, violated: Outcome, start: float) -> float | None:
        """A solved beta right below the first birth on the branch of a point above that was followed past it; None: not found."""
        for _ in range(_MOST_SEARCHES):
            loss = self._first_loss(violated, start)
            if loss is None:
                return None
            violated = self._certified(loss.state, loss.born, 1, _EFFORT)
            if violated.violation <= TOUCHES:
                break
        else:
            return None
        for away in _BELOW:
            below = loss.beta * math.exp(-away)
            if self.grown_beyond(below, loss) is not None:
                self.births[below] = loss
                return below
        return None

    def _first_loss(self, violated: Outcome, start: float) -> Loss | None:
        """Where the branch of a point above first loses optimality, as the maxima that violate it further down tell."""
        hints = violated.maxima.points.pick(violated.maxima.log_c > 0.5 * TOUCHES)
        vanishings = self.vanishings(violated.state.beta, start)
        tops = [self.outcomes[start].state, *(vanishing.rest for vanishing in vanishings)]
        ends = [*(vanishing.state for vanishing in vanishings), violated.state]
        for top, end in zip(tops[::-1], ends[::-1], strict=True):  # upward, until nothing violates
            points, values = touching(self.problem, top, hints)
            if not len(values) or float(values.max()) <= 0.0:
                return self._lost(top, end, hints)
            hints = points.pick(values > 0.0)
        return None

    def _lost(self, top: Sweep, end: Sweep, hints: Atoms) -> Loss | None:
        """Where the branch of a state loses optimality on the way down to one of its own at which c is above 1 near the hints."""
        points, values = touching(self.problem, end, hints)
        if not len(values):
            return None
        mean = points.pick(np.array([int(np.argmax(values))]))
        within = (end.beta * math.exp(-_BEHIND), top.beta)
        birth = find_birth(self.problem, end.beta, end.atoms, mean, rising=False, within=within)
        if birth is not None:
            others, values = touching(self.problem, birth.state, points)
            apart = distance_matrix(self.problem, birth.state.beta, others, birth.mean)[:, 0] > SAME
            if not (values[apart] > -TOUCHES).any():
                nothing = np.zeros(len(birth.state.atoms), dtype=bool)
                return Loss(birth.state.beta, birth.state, birth.mean, nothing, birth.precision)
        branch = Branch(self.problem, top)
        try:
            return find_loss(branch, top.beta, end.beta, hints) if branch.at(end.beta) is not None else None
        except BrokenBranch:
            return None

    def solve_anew(self, beta: float, start: float | None = None) -> Outcome:
        """Solve one beta, from the outcome at beta `start` (None: from scratch), by all means."""
        if start is None:
            return self.add(beta, self._optimise(beta, initial_atoms(self.problem), None, warm=False))
        near = self.outcomes[start]
        followed = self._followed_up(beta, near) if beta > start else None
        if followed is not None and followed.gap <= self.tol:
            return self.add(beta, followed, self._pieces[start])
        if followed is not None:
            violating = followed.maxima.points.pick(followed.maxima.log_c > 0.0)
            outcome = self._optimise(beta, followed.state.atoms, violating, warm=True)
            if outcome.gap <= self.tol:
                return self.add(beta, outcome)
        return self.add(beta, self._from_neighbour(beta, near))

    def add(self, beta: float, outcome: Outcome, piece: int | None = None) -> Outcome:
        """Keep a solved point; `piece` is the number of the piece of the path that it continues."""
        self.outcomes[beta] = outcome
        self._solutions.pop(beta, None)
        number = next(self._numbers) if piece is None else piece
        self._pieces[beta] = number
        self._first.setdefault(number, outcome.state)
        alone = len(outcome.state.atoms) == 1 and outcome.gap <= self.tol
        if alone and (self.single is None or self.single.state.beta < beta):
            self.single = outcome
        return outcome

    def _solved_single(self, beta: float, start: float | None) -> Outcome | None:
        """The point of one cluster, where that is known to be optimal; one piece of the path with its neighbour's."""
        if start is None or self.single is None or not beta < self.single.state.beta:
            return None
        if self.single is not self.sure and not self._confirmed(self.single, start):
            return None
        piece = self._pieces[start] if len(self.outcomes[start].state.atoms) == 1 else None
        return self.add(beta, self._still_single(beta, self.single), piece)

    def _confirmed(self, single: Outcome, start: float) -> bool:
        """Whether the one cluster stays certified with all effort: as much rests on it, it was searched for with little."""
        beta = single.state.beta
        if single.certificate != "rigorous":
            single = self._certified(single.state, single.maxima.points, single.n_iter)
        self.single = self.sure = single if single.gap <= self.tol else None
        if self.single is None:
            self.solve_anew(beta, start if start > beta else None)
        return self.single is not None

    def _still_single(self, beta: float, known: Outcome) -> Outcome:
        """The one cluster that is optimal at a larger beta is so here, and its gap there bounds the gap here.

        With one cluster ``log c(s) = log sum_x p(x) exp(-beta (d(x, s) - d(x, s0)))`` is convex in beta at every point s, and 0 (or
        less) at beta = 0: at a part of beta it is at most that part of what it is at beta. So much is then stated of its maxima.
        The objective, beta E d, and log Z are that part of what they are, and a sweep moves the cluster no further.
        """
        part, at = beta / known.state.beta, known.state
        maxima = Maxima(known.maxima.points, part * known.maxima.log_c)
        state = Sweep(at.atoms, beta, part * at.objective, at.posterior, part * at.log_z, at.c, at.new, at.residual)
        return Outcome(state, part * known.gap, known.certificate, maxima, 1)

    def join_branch(self, beta: float, outcome: Outcome, other: float) -> None:
        """Put another outcome in the place of a point's, on the piece of another point."""
        self.add(beta, outcome, self._pieces[other])

    def one_piece(self, low: float, high: float) -> bool:
        """Whether one point was followed to from the other, clusters perhaps vanishing on the way down."""
        return self._pieces[low] == self._pieces[high]

    def vanishings(self, low: float, high: float) -> list[Vanishing]:
        """The clusters that vanish one by one on the branch of the point `high` on the way down, by falling beta."""
        descent = self._descent(high)
        return [] if descent is None else descent.between(low, high)

    def arrival(self, low: float, high: float) -> Sweep | None:
        """Where this branch arrives at the point `low`, if it does."""
        if self.one_piece(low, high):
            return self.outcomes[low].state
        descent = self._descent(high)
        return None if descent is None else descent.at(low)

    def _descent(self, beta: float) -> Descent | None:
        """The branch of a point downward; None where that was followed upward, or is too large."""
        number = self._pieces[beta]
        first = self._first[number]
        if first.beta < beta or size_of(first.atoms, self.problem) > _FOLLOWED:
            return None
        if number not in self._descents:
            self._descents[number] = Descent(self.problem, first)
        return self._descents[number]

    def grown_beyond(self, beta: float, loss: Loss) -> Outcome | None:
        """Solve one beta a little past the loss of a branch on the atoms that grow out of it; None where Newton's method fails."""
        grown = loss.grown(self.problem)
        state = correct(self.problem, beta, grown) or correct(self.problem, beta, reweight(self.problem, beta, grown, warm=3))
        outcome = None if state is None else self._certified(state, join(loss.state.atoms, loss.born), 1, _EFFORT)
        return None if outcome is None or outcome.gap > self.tol else self.add(beta, outcome)

    def solve_beyond(self, beta: float, loss: Loss) -> Outcome:
        """The same by all means."""
        start = reweight(self.problem, beta, loss.grown(self.problem), warm=3)
        grown = polish(self.problem, beta, start, tol=1e-13, max_iter=500)
        outcome = self._certified(grown.state, join(loss.state.atoms, loss.born), grown.n_iter, _EFFORT)
        if outcome.gap > self.tol or outcome.state.residual > self.tol:
            outcome = self._repaired(self._optimise(beta, grown.state.atoms, outcome.maxima.points, warm=True))
        return self.add(beta, outcome)

    def certified_beside(self, state: Sweep, near: Outcome) -> Outcome:
        """A stationary state with its gap, searched from the maxima known beside it."""
        return self._certified(state, near.maxima.points, 1, _EFFORT)

    def certified_at_once(self, state: Sweep, near: Outcome) -> Outcome:
        """The same at almost the same beta: only what may have risen in between is looked at."""
        return self._certified(state, near.maxima.points, 1, known=near.maxima)

    def discard(self, beta: float) -> None:
        """Forget a point that was solved on the way only."""
        self.outcomes.pop(beta, None)
        self.births.pop(beta, None)
        self._solutions.pop(beta, None)
        self._pieces.pop(beta, None)

    def solution(self, beta: float) -> Solution:
        """The public solution of a point, made at its first use."""
        return self.solutions([beta])[0]

    def solutions(self, betas: Sequence[float]) -> list[Solution]:
        """The same of many points."""
        missing = [beta for beta in betas if beta not in self._solutions]
        if missing:
            outcomes = [self.outcomes[beta] for beta in missing]
            statuses = [status_of(outcome, self.tol) for outcome in outcomes]
            self._solutions.update(zip(missing, assemble_all(self.problem, outcomes, statuses), strict=True))
        return [self._solutions[beta] for beta in betas]

    def side_of(self, state: Sweep, hints: Atoms, known: Outcome | None = None) -> Any:
        """The public solution of any state, certified now, or of `known` where the state is that outcome's; as a function.

        The side of an event, which few ask for, is put together when asked.
        """
        outcome = known if known is not None and known.state is state else self._certified(state, hints, 1, _EFFORT)
        return functools.partial(one_blas_thread(assemble), self.problem, outcome, status_of(outcome, self.tol))

    def warn(self) -> None:
        """A ConvergenceWarning for each point that missed the tolerance."""
        for solution in self.solutions(sorted(self.outcomes)):
            warn_unless_converged(solution, self.tol, stacklevel=5)

    def _followed_up(self, beta: float, near: Outcome) -> Outcome | None:
        """The certified state on the branch of a neighbour below; None where that is too large or cannot be followed there."""
        if size_of(near.state.atoms, self.problem) > _FOLLOWED or math.log(beta / near.state.beta) > _FARTHEST:
            return None
        branch = Branch(self.problem, near.state)
        state = branch.at(beta, smallest=0.05)
        return None if state is None else self._certified(state, near.maxima.points, 3 * len(branch.states))

    def _certified(self, state: Sweep, hints: Atoms, n_iter: int, effort: float = 1.0, known: Maxima | None = None) -> Outcome:
        """A stationary state with its gap, `without_idle` clusters."""
        state = without_idle(self.problem, state)
        hints = Atoms(np.zeros(len(hints.weights)), hints.means, hints.face)
        gap, certificate, _, found = certified(
            self.problem, state, hints, tol=self.tol, rng=self.rng, effort=effort, prove=self.prove, quick=True, known=known
        )
        return Outcome(state, gap, certificate, found, n_iter)

    def _from_neighbour(self, beta: float, near: Outcome) -> Outcome:
        born = near.maxima.points.pick(near.maxima.log_c > NEAR_BIRTH)
        return self._repaired(self._optimise(beta, near.state.atoms, born, warm=True))

    def _repaired(self, outcome: Outcome) -> Outcome:
        """The outcome, or where its gap is open the better one of it and of a solve from scratch."""
        if outcome.gap <= self.tol:
            return outcome
        beta = outcome.state.beta
        fresh = self._optimise(beta, initial_atoms(self.problem), outcome.state.atoms, warm=False)
        return min(outcome, fresh, key=lambda result: result.gap)

    def _optimise(self, beta: float, start: Atoms, extra: Atoms | None, *, warm: bool) -> Outcome:
        options: dict[str, Any] = {"tol": self.tol, "max_iter": self.max_iter, "rng": self.rng, "prove": self.prove}
        return optimise(self.problem, beta, start, extra=extra, warm=warm, **options)
