"""The points of a curve on a large sparse problem: each as good as its neighbours' clusters make it."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from dualib.engine.batch import Batch, moved
from dualib.engine.optimum import Optimum, certify
from dualib.engine.sweep import Sweep
from dualib.path.points import Point, Points
from dualib.results.assembly import Judged, solutions_of
from dualib.results.solution import Solution

_RISE = 1e-12  # of an objective, relative to 1 + |G|: rounding


class LargePoints(Points):
    """Certified solutions by beta of a problem that is kept sparse.

    Parameters
    ----------
    problem : Problem
    tol, max_iter, seed, report, record
        As of `Points`.
    """

    def solve(self, betas: npt.ArrayLike, *, rising: bool = False) -> None:
        """As of `Points`; then no encoder is better at a neighbouring beta than the one there."""
        super().solve(betas, rising=rising)
        self._exchange()

    def solutions(self) -> list[Solution]:
        """As of `Points`, one at a time: each has a large encoder."""
        for beta, point in self.found.items():
            if beta not in self._solutions:
                sweep = Sweep(self.problem, point.batch)
                known = Judged(np.array([point.gap]), [point.kind], np.array([point.taken]))
                (self._solutions[beta],) = solutions_of(self.problem, point.batch, sweep, known, self.tol)
        return [self._solutions[beta] for beta in self.betas]

    def _exchange(self) -> None:
        """Solve anew each beta at which the encoder of a neighbouring one is better, until there is none.

        Then ``rate + beta E d`` is no less with the neighbour's rate and E d, both ways, from which it follows that E d does not
        rise with beta: the IB loses no relevance.
        """
        betas = self.betas
        pairs = [*itertools.pairwise(betas), *((high, low) for low, high in itertools.pairwise(betas))]
        lowest = {beta: self._objective(self.found[beta].batch) for beta in betas}
        for _ in range(len(betas) + 1):
            changed = False
            for of, at in pairs:
                start = moved(self.found[of].batch, at)
                if not self._objective(start) < lowest[at] - _RISE * (1.0 + abs(lowest[at])):
                    continue
                self._chunks += 1
                rng = np.random.default_rng([self._seed, self._chunks])
                found = certify(self.problem, start, tol=self.tol, most=self.max_iter, coarse=False, rng=rng)
                if found.sweep.objective[0] < lowest[at]:
                    lowest[at], changed = float(found.sweep.objective[0]), True
                    taken = self.found[at].taken + int(found.taken[0])
                    self.found[at] = _point(found)._replace(taken=taken)
            if not changed:
                return

    def _objective(self, batch: Batch) -> float:
        return float(Sweep(self.problem, batch).objective[0])


def _point(found: Optimum) -> Point:
    return Point(found.batch, float(found.gap[0]), str(found.kind[0]), int(found.taken[0]))
