"""The search for the best hard clusters at a beta.

Good clusters at a neighbouring beta are a good start, so they are sought at the beta wanted and at larger ones up to infinity, each
from the clusters of the next: from seeds, by moves of all x and of single ones that the exact objective judges, and by some clusters
more and as many mergers.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dualib.clusters.hard import HardClusters, hard_clusters, is_compiled, work_of_pass
from dualib.clusters.pools import xlogx
from dualib.clusters.restarts import Restarts
from dualib.clusters.seeds import canonical, regrown_labels, seeded_labels
from dualib.doors import step
from dualib.engine.problem import Ints, Problem

_BETAS = (math.inf, 16.0, 4.0, 1.0)  # in units of the one wanted, at which hard clusters are sought
_MORE = 5  # times as many seeds at most, whose clusters are then merged
_REGROWN, _BEGUN = 12, 6  # trials with more clusters and as many mergers for each restart, and how many more at most
_WORK = 2_000_000  # terms of a pass over all x: from there on seeds at the beta wanted alone
_MOST_WORK = 20_000_000  # of all restarts of compiled code
_TURNS, _PATIENCE = 12, 30  # further trials of compiled code for each restart, and in vain
_FEWER, _IMPATIENT = 4, 5  # the same where the distortion alone counts: one price, and an answer in milliseconds
_SMALL, _TWICE = 20_000, 2  # terms of a pass below which these cost little, and times as many of them
_GIVEN = 3  # restarts that are followed, at least, and clusterings of other prices that they begin from, at most
_AT_LAST = (
    10,
    3,
)  # times as many restarts at the price wanted, where they cost little and else: the best when softened may be another
_KEPT = 400_000  # numbers of pairings that are kept for further seeds
_FEW = 4  # clusters to begin with where their number is free


class HardSearch(NamedTuple):
    """What a search of hard clusters came to.

    Attributes
    ----------
    labels : list of (n,) int
        Clusterings, the best first.
    rounds : list of (float, (n,) int)
        The best that each restart came to, in their order, with its objective ``price H(T) + E d`` at the beta wanted.
    """

    labels: list[Ints]
    rounds: list[tuple[float, Ints]]


@step("hard clusters")
def search_hard(
    problem: Problem, beta: float, n_clusters: int, n_restarts: int, known: Sequence[Ints], rng: np.random.Generator
) -> HardSearch:
    """Hard clusterings with at most `n_clusters` clusters that no move improves at `beta` or at a larger one, best at `beta` first.

    From the clusterings `known`, from `n_restarts` random beginnings, and from the best of these with some clusters more and as many
    mergers, again and again; for the IB by compiled code.
    """
    size = min(n_clusters, problem.n)
    work = work_of_pass(problem, size)
    prices = [1.0 / beta] if work > _WORK else list(dict.fromkeys(1.0 / (factor * beta) for factor in _BETAS))
    best = _Best(problem, size, 1.0 / beta)
    for labels in known:
        best.follow(labels, prices)
    if is_compiled(problem):
        rounds = _by_compiled_code(problem, prices, size, min(n_restarts, max(1, _MOST_WORK // work)), best, rng)
    else:
        rounds = _by_numpy(problem, prices, size, min(n_restarts, max(1, _WORK // work)), best, rng)
    return HardSearch([labels for _, labels in sorted(best.found.values(), key=lambda pair: pair[0])], rounds)


def _by_compiled_code(
    problem: Problem, prices: Sequence[float], size: int, n_restarts: int, best: _Best, rng: np.random.Generator
) -> list[tuple[float, Ints]]:
    """Restarts at each price, the smallest first, beside the best of the prices before; the ends of the last ones."""
    ends: list[tuple[float, Ints]] = []
    bests = [one.labels for one in best.at.values()]
    alone = prices[-1] == 0.0  # the distortion, whose best clusters are all that is asked for
    small = work_of_pass(problem, size) < _SMALL
    times = _TWICE if alone and small else 1
    turns, patience = (times * _FEWER, times * _IMPATIENT) if alone else (_TURNS, _PATIENCE)
    for price in prices if n_restarts else ():
        at_last = price == prices[-1] and len(prices) > 1
        count = n_restarts * (_AT_LAST[0 if small else 1] if at_last else times)
        followed = max(_GIVEN, (n_restarts if alone else count) // 2)
        restarts = Restarts(problem, price, size, rng)
        restarts.run(bests[-_GIVEN:], count, turns * n_restarts, patience, followed, content=alone)
        bests.append(restarts.best[1])
        ends = restarts.ends[:n_restarts]
        for value, labels in [restarts.best, *([] if alone else restarts.ends), *(restarts.trials if len(prices) > 1 else [])]:
            best.note(labels, price, value)
    return ends


def _by_numpy(
    problem: Problem, prices: Sequence[float], size: int, n_restarts: int, best: _Best, rng: np.random.Generator
) -> list[tuple[float, Ints]]:
    """Rounds of seeds, the smallest price first, the one wanted first, and more seeds than clusters, merged: the best of each."""
    falling, rising = list(prices), list(prices)[::-1]
    alone = hard_clusters(problem, 0.0, np.zeros(problem.n, dtype=np.int64), 1)
    pairings = functools.lru_cache(max(1, _KEPT // problem.n))(alone.pairings)
    large = work_of_pass(problem, size) > _WORK
    seedings = [(rising, size), (rising, _MORE * size)] if problem.is_sparse else [(rising, size)]
    seedings = seedings if large else [(falling, size), (rising, size), (rising, _MORE * size)]
    rounds = []
    for _ in range(n_restarts):
        reached: list[tuple[float, Ints]] = []
        for order, most in seedings:
            n_seeds = size if most == size else int(rng.integers(size, most, endpoint=True))
            seeded = seeded_labels(problem, order[0], size, min(n_seeds, problem.n), pairings, rng)
            if seeded is not None:
                reached += best.follow(seeded, order)
        rounds += [min(reached, key=lambda pair: pair[0])] if reached else []
    for turn in range(_REGROWN * n_restarts if best.at and 1 < size < problem.n and not large else 0):
        price = falling[-1] if turn % 2 == 0 else falling[turn // 2 % len(falling)]
        before = best.at[price]
        best.follow(regrown_labels(before, 1 + turn // 2 % _BEGUN, rng, noisy=turn % 5 > 2), [price])
        if best.at[price] is not before:
            best.follow(best.at[price].labels, rising if turn % 2 == 0 else falling)
    return rounds


def search_free(problem: Problem, beta: float, n_restarts: int, known: Sequence[Ints], rng: np.random.Generator) -> HardSearch:
    """The same with any number of clusters: with twice as many as long as all are in use, then once more with those of the best."""
    size = min(max([_FEW, *(int(labels.max()) + 1 for labels in known)]), problem.n)
    found = HardSearch(list(known), [])
    while True:
        found = search_hard(problem, beta, size, n_restarts, found.labels[: len(known) + 1], rng)
        used = len(np.unique(found.labels[0])) if found.labels else size
        if size == problem.n or used < size:
            break
        size = min(2 * size, problem.n)
    if used + 1 < size:
        found = search_hard(problem, beta, used + 1, n_restarts, [canonical(found.labels[0])], rng)
    return found


class _Best:
    """The best clusters at each price, and all that were found with their objectives at one of them."""

    def __init__(self, problem: Problem, size: int, price: float) -> None:
        self.problem, self.size, self.price = problem, size, price
        self.at: dict[float, HardClusters] = {}
        self.found: dict[bytes, tuple[float, Ints]] = {}

    def note(self, labels: Ints, price: float, value: float) -> None:
        """Keep a clustering whose objective at some price is known."""
        weights = np.bincount(labels, self.problem.px)
        self.found[canonical(labels).tobytes()] = value - (self.price - price) * float(np.sum(xlogx(weights))), labels

    def follow(self, labels: Ints, prices: Sequence[float]) -> list[tuple[float, Ints]]:
        """Single moves at one price after the other; all that are passed, with their objectives at the price wanted."""
        passed = []
        for price in prices:
            clusters = hard_clusters(self.problem, price, labels, self.size)
            clusters.single_moves()
            labels = clusters.labels
            if not np.isfinite(clusters.objective):
                continue
            if price not in self.at or clusters.objective < self.at[price].objective:
                self.at[price] = clusters
            passed.append((clusters.objective_at(self.price), labels))
            self.found[canonical(labels).tobytes()] = passed[-1]
        return passed
