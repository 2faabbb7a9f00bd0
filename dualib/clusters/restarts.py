"""The search of hard clusters by the IB at one price, by the compiled functions of `dualib.clusters.compiled`."""

from __future__ import annotations

import numpy as np

from dualib.clusters.hard import LEAST, PASSES, compiled_table
from dualib.clusters.pools import xlogx
from dualib.distortions.interface import Array
from dualib.engine.loading import loaded
from dualib.engine.problem import Ints, Problem

_MORE = 6  # clusters more than wanted in a trial, at most
_LOOSE = 50  # a restart ends when no more than one of so many sources moves
_RANDOM = 3  # one restart of so many begins from a random partition


class Restarts:
    """Single moves from seeds, then from the best with some clusters more and as many mergers.

    Attributes
    ----------
    found : list of (float, (n,) int)
        Objectives ``price H(T) + E d`` and clusterings: of `ends`, and of the trials, if they are kept.
    ends : list of (float, (n,) int)
        Those that the restarts came to.
    best : (float, (n,) int)
    """

    def __init__(self, problem: Problem, price: float, size: int, rng: np.random.Generator) -> None:
        self.problem, self.price, self.size, self.rng = problem, price, size, rng
        self._code = loaded("dualib.clusters.compiled")
        self._table = compiled_table(problem)
        self._masses = self._table[0].copy()
        self._code.xlogx(self._masses, len(self._masses), *np.empty((2, len(self._masses))))
        self._least = LEAST * (1.0 + abs(problem.constant))
        width = size + _MORE
        self._weights, self._counts = np.zeros(width), np.zeros(width)
        self._sums, self._terms = np.zeros((problem.k, width)), np.zeros((problem.k, width))
        self._nearest, self._rise, self._work = np.zeros(problem.n), np.zeros(problem.n), np.zeros((5, problem.k))
        self._losses = np.zeros((width, width))
        self.ends: list[tuple[float, Ints]] = []
        self.trials: list[tuple[float, Ints]] = []

    def run(self, given: list[Ints], count: int, turns: int, patience: int, followed: int) -> None:
        """Restarts, of which those from `given` and the best `followed` go on to their ends; then trials.

        These are `turns` at most, `patience` in a row in vain, and none where those followed are all the same.
        """
        firsts = [self._moved(labels.copy(), self.size) for labels in given]
        ends = [self._moved(self._seeded(number), self.size, loose=True) for number in range(count)]
        order = sorted(range(count), key=lambda number: ends[number][0])
        for number in order[:followed]:
            ends[number] = self._moved(ends[number][1], self.size)
        self.ends = ends
        self.best = min([*firsts, *ends], key=lambda pair: pair[0])
        if len(order) >= followed and all(ends[i][0] <= self.best[0] + self._least for i in order[:followed]):
            return
        idle = 0
        for turn in range(turns):
            trial = self._regrown(turn)
            self.trials.append(trial)
            idle += 1
            if trial[0] < self.best[0] - self._least:
                self.best, idle = trial, 0
            if idle >= patience:
                return

    def _seeded(self, number: int) -> Ints:
        if number % _RANDOM == _RANDOM - 1:
            return np.asarray(self.rng.integers(0, self.size, self.problem.n), dtype=np.int64)
        labels, draws = np.zeros(self.problem.n, dtype=np.int64), self.rng.random(self.size)
        scratch = (self._nearest, self._rise, self._work)
        self._code.seeds(self.price, *self._table, self._masses, draws, *scratch, labels)
        return labels

    def _moved(self, labels: Ints, width: int, *, loose: bool = False, passes: int = PASSES) -> tuple[float, Ints]:
        """After single moves among the first `width` clusters, in place, with the objective."""
        enough = self.problem.n // _LOOSE if loose else 0
        sums = (self._counts, self._weights, self._sums, self._terms)
        self._code.single_moves(self.price, self._least, passes, enough, width, *self._table, labels, *sums)
        return self._objective(), labels

    def _objective(self) -> float:
        entropies = (1.0 - self.price) * float(np.sum(xlogx(self._weights)))
        return self.problem.constant + entropies - float(np.sum(self._terms))

    def _regrown(self, turn: int) -> tuple[float, Ints]:
        """The best with clusters more, begun at x drawn by what their distortion costs, and the cheapest merged again."""
        labels, more = self.best[1].copy(), 1 + turn % _MORE
        chances: Array = self._nearest
        self._moved(labels, self.size, passes=0)  # sums them up
        sums = (self._counts, self._weights, self._sums)
        self._code.own_distortions(*self._table, self._masses, labels, *sums, chances)
        possible = int(np.count_nonzero(chances))
        if possible:
            begun = self.rng.choice(len(labels), min(more, possible), replace=False, p=chances / chances.sum())
            labels[begun] = self.size + np.arange(len(begun))
        self._moved(labels, self.size + more)
        noise = 1.0 if turn % 5 > 2 else 0.0  # with it the second best mergers are tried, too
        whole = (labels, self._counts, self._weights, self._sums, self._terms, self._losses)
        self._code.merge_down(self.price, self.size + more, self.size, noise, *whole)
        return self._moved(labels, self.size)
