"""The search of hard clusters by the IB at one price, by the compiled functions of `dualib.clusters.compiled`."""

from __future__ import annotations

import numpy as np

from dualib.clusters.hard import LEAST, PASSES, compiled_table
from dualib.distortions.interface import Array
from dualib.engine.loading import loaded
from dualib.engine.problem import Ints, Problem

_BEGUN = 16  # clusters more than wanted that a restart begins with, at most, and never more than are wanted
_MORE, _BRIEF = 6, 2  # the same of a trial, and the passes before these are merged
_LOOSE = 50  # a restart ends when no more than one of so many sources moves


class Restarts:
    """Single moves from random partitions, then from the best with some clusters more and as many mergers.

    Every other restart begins with up to twice the clusters wanted, which are merged after a pass of moves. Both ways lead as low as
    seeds of k-means++, in half the time, and seldom to the same place where there are many.

    Attributes
    ----------
    ends : list of (float, (n,) int)
        Objectives ``price H(T) + E d`` and clusterings that the restarts came to.
    trials : list of (float, (n,) int)
        The same of the trials.
    best : (float, (n,) int)
    """

    def __init__(self, problem: Problem, price: float, size: int, rng: np.random.Generator) -> None:
        self.problem, self.price, self.size, self.rng = problem, price, size, rng
        self._code = loaded("dualib.clusters.compiled")
        self._table = compiled_table(problem)
        self._least = LEAST * (1.0 + abs(problem.constant))
        self._begun = size + min(size, _BEGUN)
        width = max(self._begun, size + _MORE)
        self._weights, self._counts = np.zeros(width), np.zeros(width)
        self._sums, self._terms = np.zeros((problem.k, width)), np.zeros((problem.k, width))
        self._losses = np.zeros((width, width))
        self.ends: list[tuple[float, Ints]] = []
        self.trials: list[tuple[float, Ints]] = []

    def run(self, given: list[Ints], count: int, turns: int, patience: int, followed: int, *, content: bool = False) -> None:
        """Restarts, of which those from `given` and the best `followed` go on to their ends; then trials.

        These are `turns` at most, `patience` in a row in vain, and none where those followed are all the same and that will do
        (`content`).
        """
        firsts = [self._moved(labels.copy()) for labels in given]
        ends = [self._restarted(self._begun if number % 2 == 0 else self.size) for number in range(count)]
        order = sorted(range(count), key=lambda number: ends[number][0])
        for number in order[:followed]:
            ends[number] = self._moved(ends[number][1])
        self.ends = ends
        self.best = min([*firsts, *ends], key=lambda pair: pair[0])
        same = len(order) >= followed and all(ends[i][0] <= self.best[0] + self._least for i in order[:followed])
        if same and content:
            return
        costs, idle = self._costs(self.best[1]), 0
        for turn in range(turns):
            trial = self._regrown(costs, 1 + turn % _MORE)
            self.trials.append(trial)
            idle += 1
            if trial[0] < self.best[0] - self._least:
                self.best, idle = trial, 0
                costs = self._costs(trial[1])
            if idle >= patience:
                return

    def _restarted(self, begun: int) -> tuple[float, Ints]:
        """From a random partition into so many clusters."""
        labels = np.asarray(self.rng.integers(0, begun, self.problem.n), dtype=np.int64)
        if begun == self.size:
            return self._moved(labels, loose=True)
        self._move(labels, begun, 1)
        return self._merged(labels, begun, loose=True)

    def _regrown(self, costs: Array, more: int) -> tuple[float, Ints]:
        """The best with so many clusters more, begun at x drawn by their `costs`, and the cheapest merged again."""
        labels, possible = self.best[1].copy(), int(np.count_nonzero(costs))
        order = np.argsort(-costs / self.rng.standard_exponential(len(costs)), kind="stable")  # Efraimidis and Spirakis 2006
        begun = order[: min(more, possible)]
        labels[begun] = self.size + np.arange(len(begun))
        self._move(labels, self.size + more, _BRIEF)
        return self._merged(labels, self.size + more)

    def _move(self, labels: Ints, width: int, passes: int, enough: int = 0) -> float:
        """Single moves among the first `width` clusters, in place, and their objective; the sums are those of what results."""
        sums = (self._counts, self._weights, self._sums, self._terms)
        table = self._table
        value = self._code.single_moves(self.price, self._least, passes, enough, width, *table, labels, *sums)
        return self.problem.constant + float(value)

    def _moved(self, labels: Ints, *, loose: bool = False) -> tuple[float, Ints]:
        """After single moves among the clusters that are wanted, in place, with the objective."""
        return self._move(labels, self.size, PASSES, self.problem.n // _LOOSE if loose else 0), labels

    def _merged(self, labels: Ints, width: int, *, loose: bool = False) -> tuple[float, Ints]:
        """The first `width` clusters, which have just been moved, merged to as many as are wanted, and moves of these."""
        whole = (labels, self._counts, self._weights, self._sums, self._terms, self._losses)
        self._code.merge_down(self.price, width, self.size, *whole)
        return self._moved(labels, loose=loose)

    def _costs(self, labels: Ints) -> Array:
        """The part of each x in the distortion of a clustering, (n,)."""
        parts = np.empty(len(labels))
        self._move(labels, self.size, 0)  # sums them up
        self._code.own_distortions(*self._table, labels, self._counts, self._weights, self._sums, parts)
        return parts
