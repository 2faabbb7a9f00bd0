"""Certified solves along beta, each started from a neighbour: what `anneal` and `solve_at` walk on."""

from __future__ import annotations

import numpy as np

from dualib.assemble import assemble
from dualib.optimise import Outcome, initial_atoms, optimise
from dualib.problem import Atoms, Problem
from dualib.results import Solution
from dualib.solver import status_of, warn_unless_converged

_NEAR_BIRTH = -0.5  # maxima of log c above this are tried as atoms at the next beta


class Path:
    """The points solved so far, by beta."""

    def __init__(self, problem: Problem, tol: float, max_iter: int, rng: np.random.Generator, *, prove: bool = True) -> None:
        self.problem, self.tol, self.max_iter, self.rng, self.prove = problem, tol, max_iter, rng, prove
        self.outcomes: dict[float, Outcome] = {}
        self.solutions: dict[float, Solution] = {}

    def solve(self, beta: float, start: float | None = None) -> Solution:
        """Solve one beta, from the outcome at beta `start` (None: from scratch)."""
        if start is None:
            outcome = self._optimise(beta, initial_atoms(self.problem), None, warm=False)
        else:
            near = self.outcomes[start]
            born = near.maxima.points.pick(near.maxima.log_c > _NEAR_BIRTH)
            outcome = self._optimise(beta, near.state.atoms, born, warm=True)
            if outcome.gap > self.tol:
                fresh = self._optimise(beta, initial_atoms(self.problem), outcome.state.atoms, warm=False)
                outcome = min(outcome, fresh, key=lambda result: result.gap)
        self.outcomes[beta] = outcome
        status = status_of(outcome, self.tol)
        self.solutions[beta] = assemble(self.problem, outcome, status)
        warn_unless_converged(self.solutions[beta], self.tol)
        return self.solutions[beta]

    def _optimise(self, beta: float, start: Atoms, extra: Atoms | None, *, warm: bool) -> Outcome:
        return optimise(
            self.problem,
            beta,
            start,
            tol=self.tol,
            max_iter=self.max_iter,
            rng=self.rng,
            extra=extra,
            warm=warm,
            prove=self.prove,
        )
