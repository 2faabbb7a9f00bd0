"""How often the search behind a certificate misses a cluster that another search has missed.

    OPENBLAS_NUM_THREADS=1 python benchmarks/search.py                     # 2,000 problems, a few minutes
    OPENBLAS_NUM_THREADS=1 python benchmarks/search.py --zeros 0.4 --count 200 --kind dualib
    OPENBLAS_NUM_THREADS=1 python benchmarks/search.py --paths --count 150

Random problems on which clusters hide: 20 to 100 x, 5 to 20 y, rows of p(y|x) from Dirichlet 0.1 to 0.7 (`problems.py`, those of
other sizes passed over). Each is solved from three starts by a weak search, from the p(y|x) alone, and by the whole one. Where the
weak one certifies an encoder that is not optimal, it has missed a cluster: there the whole search is run on that very state, with
all of its effort and with the quarter that serves along a path, and several seeds. Prints the part of these runs that find nothing,
and whether any start beat another by more than the gap stated.

With `--zeros` so large a part of the p(y|x) is set to 0, and each problem is solved as usual and from five random starts: the
certificates are counted that call themselves "multistart" or "rigorous" though another start beats their bound, and the "heuristic"
ones. `--kind` takes the problems of one distortion alone.

With `--paths` curves of 30 betas without events are solved in place of single problems, as users do, by three seeds: the points of
these are counted whose certificate is refuted by one of the others, or by a curve from below, or with all effort at each beta.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np
from problems import RandomProblem, random_problem

import dualib
from dualib.distortions.named import as_distortion
from dualib.engine.batch import Batch
from dualib.engine.initial import of_encoder
from dualib.engine.problem import Problem
from dualib.engine.search import price
from dualib.engine.starts import Points, for_each
from dualib.engine.sweep import Sweep

STARTS = ({}, {"init": "random", "random_state": 1}, {"init": "random", "random_state": 2})
ZEROS_STARTS = 5
EFFORTS = (1.0, 0.25)
SEEDS = 5
PATH_SEEDS = 3
TOL = 1e-9


@dataclass
class Tally:
    """Seconds of the usual solves; numbers of certificates by kind and by whether they are refuted; by how much at most, nats."""

    seconds: list[float] = field(default_factory=list)
    usual: Counter[tuple[str | None, bool]] = field(default_factory=Counter)
    others: Counter[tuple[str | None, bool]] = field(default_factory=Counter)
    most: float = 0.0


def hiding(seed: int, kind: str | None = None) -> Iterator[RandomProblem]:
    """Problems on which clusters hide, one after the other, of one distortion or of both by turns."""
    first, step = {"ib": (0, 2), "dualib": (1, 2), None: (0, 1)}[kind]
    for number in range(first, 1_000_000, step):
        rng = np.random.default_rng([seed, number])  # the first draws of `random_problem`, to pass over the others cheaply
        n_x, n_y = int(rng.integers(2, 101)), int(rng.integers(2, 21))
        if n_x >= 20 and n_y >= 5 and rng.uniform(np.log(0.1), np.log(5.0)) <= np.log(0.7):
            yield random_problem(number, seed)


def thinned(case: RandomProblem, seed: int, part: float) -> RandomProblem:
    """The same with a part of the p(y|x) set to 0, but for one of each row."""
    rng = np.random.default_rng([seed, case.number, 1])
    py_x = case.joint.py_x.copy()
    spared = rng.integers(0, py_x.shape[1], len(py_x))
    left = rng.random(py_x.shape) >= part
    left[np.arange(len(py_x)), spared] = True
    py_x *= left
    joint = dualib.JointDistribution.from_conditionals(py_x / py_x.sum(axis=1, keepdims=True), case.joint.px)
    return case._replace(joint=joint)


def with_zeros(seed: int, count: int, part: float, kind: str | None) -> None:
    """Print how many certificates are refuted by other starts, where part of the p(y|x) is 0."""
    tallies: dict[str, Tally] = {}
    for case, _ in zip(hiding(seed, kind), range(count), strict=False):
        few = thinned(case, seed, part)
        begun = time.process_time()
        usual = dualib.solve(few.joint, few.beta, few.kind)
        tally = tallies.setdefault(case.kind, Tally())
        tally.seconds.append(time.process_time() - begun)
        others = [
            dualib.solve(few.joint, few.beta, few.kind, init="random", random_state=state)
            for state in range(1, ZEROS_STARTS + 1)
        ]
        best = min(solution.objective for solution in (usual, *others))
        for solutions, counts in (([usual], tally.usual), (others, tally.others)):
            for solution in solutions:
                off = solution.lower_bound - best
                counts[solution.certificate, off > TOL] += 1
                if off > TOL:
                    tally.most = max(tally.most, off)
                    print(f"refuted by {off:.1e}: seed {seed}, {few}, {solution.certificate}", flush=True)
    for name, tally in tallies.items():
        print(f"{name}: {len(tally.seconds)} problems, seed {seed}; median time of a solve {np.median(tally.seconds):.3f} s")
        for title, counts in (("usual start", tally.usual), (f"{ZEROS_STARTS} others", tally.others)):
            heuristic = counts["heuristic", False] + counts["heuristic", True]
            wrong = sum(number for (certificate, off), number in counts.items() if off and certificate != "heuristic")
            print(
                f"  {title}: {counts.total() - heuristic} certificates, {wrong} of them refuted by another start; "
                f"{heuristic} heuristic, {counts['heuristic', True]} of them refuted"
            )
        print(f"  by {tally.most:.1e} nats at most")


def along_paths(seed: int, count: int) -> None:
    """Print how many points of curves are certified, though there is a better one."""
    betas, wrong, curves, points = np.geomspace(0.5, 100.0, 30), 0, 0, 0
    for case, _ in zip(hiding(seed), range(count), strict=False):
        quick = [dualib.anneal(case.joint, case.kind, betas, events=False, random_state=s) for s in range(PATH_SEEDS)]
        others = [dualib.anneal(case.joint, case.kind, betas, events=False, direction="up")]
        others.append(dualib.anneal(case.joint, case.kind, betas))
        best = np.min([curve.objective for curve in (*quick, *others)], axis=0)
        for curve in quick:
            refuted = curve.lower_bound > best + TOL
            wrong, curves, points = wrong + int(refuted.sum()), curves + bool(refuted.any()), points + len(betas)
    print(
        f"{count} problems, seed {seed}: {wrong} of {points} points, on {curves} of {count * PATH_SEEDS} curves, are certified,"
    )
    print("though another curve has a better one there")


def from_all_starts(case: RandomProblem) -> list[dualib.Solution]:
    return [dualib.solve(case.joint, case.beta, case.kind, **options) for options in STARTS]


def weakly(case: RandomProblem) -> list[dualib.Solution]:
    """The same by a search from the p(y|x) alone."""
    with mock.patch("dualib.engine.search.starting_points", from_the_sources_alone):
        return from_all_starts(case)


def from_the_sources_alone(problem: Problem, batch: Batch, *_: Any) -> tuple[Points, None]:
    """Starts of the weak search."""
    return for_each(problem, problem.U, problem.source_face, len(batch.beta)), None


def misses(case: RandomProblem, encoder: np.ndarray) -> dict[float, int]:
    """How many runs of the whole search find no c above 1 at a state where there is one, by effort."""
    problem = Problem(case.joint, as_distortion(case.kind))
    batch = of_encoder(problem, [case.beta], encoder, "encoder")
    sweep = Sweep(problem, batch)
    return {
        effort: sum(
            bool(price(problem, batch, sweep, rng=np.random.default_rng(seed), effort=effort).gap[0] <= TOL)
            for seed in range(SEEDS)
        )
        for effort in EFFORTS
    }


def main() -> None:
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000, help="problems (default 2,000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the problems (default 0)")
    parser.add_argument("--zeros", type=float, default=0.0, help="part of the p(y|x) that is set to 0 (default none)")
    parser.add_argument("--kind", choices=("ib", "dualib"), help="with --zeros: problems of this distortion alone")
    parser.add_argument("--paths", action="store_true", help="count points of curves")
    options = parser.parse_args()
    warnings.simplefilter("ignore", dualib.ConvergenceWarning)
    dualib.compile_kernels()
    if options.paths:
        along_paths(options.seed, options.count)
        return
    if options.zeros > 0.0:
        with_zeros(options.seed, options.count, options.zeros, options.kind)
        return
    wrong = beaten = states = 0
    missed = dict.fromkeys(EFFORTS, 0)
    for case, _ in zip(hiding(options.seed), range(options.count), strict=False):
        whole, weak = from_all_starts(case), weakly(case)
        best = min(solution.objective for solution in (*whole, *weak))
        if any(solution.lower_bound > best + TOL for solution in whole):
            beaten += 1
            print(f"the whole search: seed {options.seed}, {case}", flush=True)
        fooled = [solution for solution in weak if solution.lower_bound > best + TOL]
        wrong += bool(fooled)
        states += len(fooled)
        for solution in fooled:
            for effort, count in misses(case, solution.encoder).items():
                missed[effort] += count
    print(f"{options.count} problems, seed {options.seed}, each from {len(STARTS)} starts")
    print(
        f"certified, though another start is better: {beaten} by the whole search, {wrong} by the weak one, in {states} states"
    )
    for effort, count in missed.items():
        print(f"effort {effort:4}: the whole search finds nothing there in {count} of {states * SEEDS} runs")


if __name__ == "__main__":
    main()
