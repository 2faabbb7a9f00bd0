"""The best columns of a rate-distortion matrix under a cap on their number: clusters that cannot move."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence

import numpy as np

from dualib.engine.batch import Batch
from dualib.engine.descent import descend
from dualib.engine.problem import Problem

_MOST_SETS = 100  # sets of columns that are all tried
_GOAL = 1e-7  # residual of a trial: its objective is right to the square
_LEAST_GAIN = 1e-12
_AT_ONCE = 2_000_000  # numbers of the posteriors of a batch

Columns = tuple[int, ...]


def best_columns(problem: Problem, beta: float, n_clusters: int, given: Sequence[Batch]) -> Batch:
    """At most `n_clusters` of the columns: the best set, or where there are many a good one, as a solution at rest.

    That is one from which no exchange of one column for another leads down, from the sets `given` and the one that grows by the best
    column at a time.
    """
    size = min(n_clusters, problem.k)
    trials = _Trials(problem, beta)
    if math.comb(problem.k, size) <= _MOST_SETS:
        return trials.batch(trials.best(itertools.combinations(range(problem.k), size)))
    grown: Columns = ()
    while len(grown) < size:
        grown = trials.best((*grown, j) for j in range(problem.k) if j not in grown)
    starts = [tuple(np.argmax(start.means, axis=1).tolist()) for start in given]
    return trials.batch(trials.best([trials.exchanged(columns) for columns in [*starts, grown]]))


class _Trials:
    """Sets of columns and the least objectives with them."""

    def __init__(self, problem: Problem, beta: float) -> None:
        self.problem, self.beta = problem, beta
        self._objective: dict[Columns, float] = {}

    def best(self, sets: Iterable[Columns]) -> Columns:
        """The set of least objective."""
        sets = [tuple(sorted(columns)) for columns in sets]
        new = list(dict.fromkeys(columns for columns in sets if columns not in self._objective))
        at_once = max(1, _AT_ONCE // (self.problem.n * max(map(len, sets))))
        for first in range(0, len(new), at_once):
            some = new[first : first + at_once]
            ended = descend(self.problem, self.batch(*some), goal=_GOAL)
            self._objective.update(zip(some, ended.sweep.objective.tolist(), strict=True))
        return min(sets, key=self._objective.__getitem__)

    def exchanged(self, columns: Columns) -> Columns:
        """The set after exchanges of one column for another, the best each time, as long as they lead down."""
        present = self.best([columns])
        while True:
            kept = [present[:i] + present[i + 1 :] for i in range(len(present))]
            other = self.best((*rest, j) for rest in kept for j in range(self.problem.k) if j not in present)
            if not self._objective[other] < self._objective[present] - _LEAST_GAIN:
                return present
            present = other

    def batch(self, *sets: Columns) -> Batch:
        """Solutions that have these columns at equal weights."""
        owner = np.repeat(np.arange(len(sets)), [len(columns) for columns in sets])
        means = np.eye(self.problem.k)[list(itertools.chain.from_iterable(sets))]
        weights = 1.0 / np.bincount(owner)[owner]
        return Batch(np.full(len(sets), self.beta), weights, means, owner, np.zeros(len(owner), dtype=np.int64))
