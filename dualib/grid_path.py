"""A path over beta without events: its points, solved in batches, each from the sources and so without knowledge of the others.

What goes into one batch is fixed by the arguments of `anneal` alone, so the same call gives the same bits, interrupted or not.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from dualib.engine.batch import Batch
from dualib.engine.optimum import Optimum, optimum
from dualib.engine.problem import Problem
from dualib.engine.stability import stability
from dualib.progress import Reporter
from dualib.results import Event, Solution
from dualib.solutions import judged, solutions_of
from dualib.solver import warn_unless_converged

_MOST_AT_ONCE, _NUMBERS_AT_ONCE = 64, 6_000_000  # betas of one batch; sources times sources, or features, of all of them
_CLOSE, _MOVED = 1e-7, 1e-3  # relative width of an interval, and natural distance of the clusters at its ends, of a jump


class Record(Protocol):
    """What keeps the optima of batches, for a run that goes on after an interruption."""

    def answer(self, betas: Sequence[float], compute: Any, rng: np.random.Generator) -> Optimum:
        """The recorded optima at these betas, or those now computed, and the random numbers after them."""


class GridPath:
    """The points of a path solved so far, by beta."""

    def __init__(
        self, problem: Problem, tol: float, max_iter: int, rng: np.random.Generator, report: Reporter, record: Record | None
    ) -> None:
        self.problem, self.tol, self.max_iter, self.rng = problem, tol, max_iter, rng
        self._report, self._record = report, record
        self._solutions: dict[float, Solution] = {}
        self._found: dict[float, tuple[Optimum, int]] = {}

    def points(self) -> list[float]:
        """The solved betas, ascending."""
        return sorted(self._solutions)

    def solutions(self, betas: Sequence[float]) -> list[Solution]:
        """The solutions at solved betas."""
        return [self._solutions[beta] for beta in betas]

    def solve(self, betas: Sequence[float], *, told: bool = True) -> None:
        """Solve all betas that are not solved yet, from the largest; `told`: report each as a step."""
        wanted = sorted(set(betas) - self._solutions.keys(), reverse=True)
        if told:
            self._report.expect(len(wanted))
        most = at_once(self.problem)
        for begin in range(0, len(wanted), most):
            chunk = wanted[begin : begin + most]
            found = self._optimum(chunk)
            new = solutions_of(self.problem, found.batch, found.sweep, judged(found), self.tol)
            for i, (beta, solution) in enumerate(zip(chunk, new, strict=True)):
                self._solutions[beta], self._found[beta] = solution, (found, i)
            for _ in chunk if told else ():
                self._report.step()

    def _optimum(self, betas: Sequence[float]) -> Optimum:
        def compute() -> Optimum:
            return optimum(self.problem, betas, tol=self.tol, most=self.max_iter, rng=self.rng)

        return compute() if self._record is None else self._record.answer(betas, compute, self.rng)

    def relevance(self, beta: float) -> float:
        """The relevance at a beta that need not be a point of the path."""
        self.solve([beta], told=False)
        relevance = self._solutions.pop(beta).relevance
        del self._found[beta]
        return relevance

    def warn(self) -> None:
        """A ConvergenceWarning for each point that missed the tolerance."""
        for beta in self.points():
            warn_unless_converged(self._solutions[beta], self.tol, stacklevel=5)

    def events(self) -> list[Event]:
        """Changes of the number of clusters between neighbouring points: bracketed by the grid, not located."""
        betas = self.points()
        return [self._bracketed(*pair) for pair in itertools.pairwise(betas) if self._count(pair[0]) != self._count(pair[1])]

    def _count(self, beta: float) -> int:
        return self._solutions[beta].n_clusters

    def _state(self, beta: float) -> Optimum:
        """The state of one point: a batch of one."""
        found, i = self._found[beta]
        which = np.arange(len(found.gap)) == i
        batch, rows = found.batch.pick(which)
        sweep, best = found.sweep.pick(which, rows), found.best.pick(which)
        return Optimum(batch, sweep, found.gap[which], found.kind[which], best, found.taken[which])

    def _bracketed(self, low: float, high: float) -> Event:
        """A change of the support of which only the two points around it are known."""
        below, above = self._state(low), self._state(high)
        apart = natural_distances(self.problem, low, above.batch, below.batch)
        close = math.log(high / low) < _CLOSE
        jump = close and float(above.batch.weights @ np.minimum(apart.min(axis=1), 1.0)) > _MOVED
        heirs = np.bincount(apart.argmin(axis=1), minlength=len(below.batch.weights))
        splits = not jump and self._some_split(below, high, heirs)
        return Event(
            kind="jump" if jump else ("split" if splits else "appearance"),
            beta=math.sqrt(low * high),
            interval=(low, high),
            before=len(below.batch.weights),
            after=len(above.batch.weights),
            located=close,
            precision=math.log(high / low),
            below=self._solutions[low],
            above=self._solutions[high],
        )

    def _some_split(self, below: Optimum, high: float, heirs: np.ndarray) -> bool:
        """Whether a cluster that several of those at `high` are nearest to is unstable there."""
        if self.problem.fixed or not (heirs > 1).any():
            return False
        numbers = stability(self.problem, below.batch, below.sweep) * (high / below.batch.beta[0])
        return bool((numbers[heirs > 1] >= 1.0).any())


def at_once(problem: Problem) -> int:
    """How many betas of a problem are one batch: so many that their arrays stay in the cache, or near."""
    return max(1, min(_MOST_AT_ONCE, _NUMBERS_AT_ONCE // (problem.n * max(problem.n, problem.k))))


def natural_distances(problem: Problem, beta: float, first: Batch, second: Batch) -> np.ndarray:
    """The squared natural distance of every pair of atoms of two batches of one solution; inf between different faces."""
    V, W = problem.link(first.means, first.face)[0], problem.link(second.means, second.face)[0]
    moves = first.means[:, None] - second.means[None]
    distance = beta * np.maximum(np.einsum("ijk,ijk->ij", moves, V[:, None] - W[None]), 0.0)
    distance[first.face[:, None] != second.face[None]] = np.inf
    return np.asarray(distance)
