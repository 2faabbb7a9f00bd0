"""The certified points of a curve: solved in fixed chunks of betas, recorded as they are done, made public when asked for."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dualib.engine.batch import Batch
from dualib.engine.optimum import judged_state, optimum
from dualib.engine.problem import Problem
from dualib.engine.sweep import Sweep
from dualib.path.chain import together
from dualib.path.checkpoint import Checkpoint
from dualib.progress import Reporter
from dualib.results.assembly import Judged, judged, solutions_of
from dualib.results.solution import Solution
from dualib.threads import one_blas_thread

# betas solved at once, so many and no more whatever was solved before, so that a resumed run does the same; and sources times
# sources, or features, of all of them, so that their arrays stay in the cache, or near
CHUNK, NUMBERS_AT_ONCE = 64, 6_000_000


def at_once(problem: Problem) -> int:
    """How many betas are solved at once."""
    return max(1, min(CHUNK, NUMBERS_AT_ONCE // (problem.n * max(min(problem.n, problem.most_atoms), problem.k))))


def exchange(betas: Sequence[float], anew: Callable[[float, float], bool]) -> None:
    """Solve anew each of ascending betas at which the encoder of a neighbouring one is better, until there is none.

    ``anew(of, at)`` tells whether the solution at one has become better from that of the other. Then ``rate + beta E d`` is no less
    with the neighbour's rate and E d, both ways, from which it follows that E d does not rise with beta: the IB loses no relevance.
    """
    pairs = [*itertools.pairwise(betas), *((high, low) for low, high in itertools.pairwise(betas))]
    for _ in range(len(betas) + 1):
        if not any([anew(of, at) for of, at in pairs]):
            return


class Point(NamedTuple):
    """A certified solution: a batch of one, its gap, the kind of its certificate, the sweeps and products that it took."""

    batch: Batch
    gap: float
    kind: str
    taken: int


class Points:
    """Certified solutions by beta.

    Parameters
    ----------
    problem : Problem
    tol, max_iter : float, int
        As of `dualib.solve`.
    seed : int
        Of the searches' random starts.
    record : Checkpoint, optional
        Where each chunk is looked for, and written to.
    """

    def __init__(
        self, problem: Problem, tol: float, max_iter: int, seed: int, report: Reporter, record: Checkpoint | None = None
    ) -> None:
        self.problem, self.tol, self.max_iter, self.report, self._record = problem, tol, max_iter, report, record
        self.found: dict[float, Point] = {}
        self._seed, self._chunks = seed, 0
        self.most_betas = at_once(problem)  # in a chunk
        self._solutions: dict[float, Solution] = {}

    @property
    def betas(self) -> list[float]:
        """Those solved, ascending."""
        return sorted(self.found)

    def solve(self, betas: npt.ArrayLike, *, rising: bool = False) -> None:
        """Solve all betas that are not solved yet, from the largest to the smallest or the other way round."""
        wanted = sorted(set(np.asarray(betas, dtype=np.float64).tolist()) - self.found.keys(), reverse=not rising)
        self.report.expect(len(wanted))
        for first in range(0, len(wanted), self.most_betas):
            some = sorted(wanted[first : first + self.most_betas])
            self.found.update(zip(some, self._chunk(some), strict=True))
            for _ in some:
                self.report.step()

    def forget(self, beta: float) -> None:
        """Leave out a point that was solved on the way only."""
        self.found.pop(beta)
        self._solutions.pop(beta, None)

    def _chunk(self, betas: list[float]) -> list[Point]:
        self._chunks += 1
        known = None if self._record is None else self._record.replay(self.problem, betas)
        if known is not None:
            return [Point(*point) for point in known]
        rng = np.random.default_rng([self._seed, self._chunks])
        found = optimum(self.problem, np.array(betas), tol=self.tol, most=self.max_iter, rng=rng)
        ends = zip(found.gap.tolist(), found.kind.tolist(), found.taken.tolist(), strict=True)
        points = [Point(found.batch.one(i), *end) for i, end in enumerate(ends)]
        if self._record is not None:
            self._record.append(self.problem, betas, [tuple(point) for point in points])
        return points

    def batch(self) -> Batch:
        """All solutions, ascending in beta."""
        return together([self.found[beta].batch for beta in self.betas])

    def replace(self, batch: Batch) -> None:
        """Other solutions at the same betas; how far each can be from the optimum follows from the certificate of the one before."""
        more = Sweep(self.problem, batch).objective - Sweep(self.problem, self.batch()).objective
        for i, beta in enumerate(self.betas):
            old = self.found[beta]
            self.found[beta] = old._replace(batch=batch.one(i), gap=max(0.0, old.gap + float(more[i])))
        self._solutions.clear()

    def solutions(self) -> list[Solution]:
        """The public solutions, ascending in beta."""
        missing = [beta for beta in self.betas if beta not in self._solutions]
        if missing:
            points = [self.found[beta] for beta in missing]
            batch = together([point.batch for point in points])
            gap, kinds, taken = zip(*((point.gap, point.kind, point.taken) for point in points), strict=True)
            known = Judged(np.array(gap), kinds, np.array(taken))
            made = solutions_of(self.problem, batch, Sweep(self.problem, batch), known, self.tol)
            self._solutions.update(zip(missing, made, strict=True))
        return [self._solutions[beta] for beta in self.betas]


class Sides:
    """The solutions beside the events of a chain, certified and made public all at once, at the first use of any."""

    def __init__(self, problem: Problem, parts: list[Batch], tol: float) -> None:
        self.problem, self.parts, self.tol = problem, parts, tol
        self._solutions: list[Solution] | None = None

    @one_blas_thread
    def __call__(self, i: int) -> Solution:
        """The i-th of them."""
        if self._solutions is None:
            batch = together(self.parts)
            sweep = Sweep(self.problem, batch)
            state = judged_state(self.problem, batch, sweep, tol=self.tol, rng=np.random.default_rng(0))
            self._solutions = solutions_of(self.problem, batch, sweep, judged(state), self.tol)
        return self._solutions[i]
