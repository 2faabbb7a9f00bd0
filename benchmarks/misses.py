"""Certificates judged by other code: does a plain ascent, from ten times as many starts as there are x, come above the bound.

    OPENBLAS_NUM_THREADS=1 python benchmarks/misses.py                 # 20,000 points: ten minutes of CPU
    OPENBLAS_NUM_THREADS=1 python benchmarks/misses.py --problems 50   # a slice

Random problems (`problems.py`), each solved at 20 betas from half the onset of learning to 30 times it. A certificate says that
log c is nowhere above the gap stated (`dualib/engine/search.py` has the equation). Here Z is computed from the weights and decoders
of the solution, and log c is climbed from every p(y|x), from middles of two and three of them and from random points of the simplex,
by steps to the centroid, in twenty lines of NumPy that share nothing with the engine. Counts the points where that finds a log c
above the gap by more than 1e-9 nats, and prints what brings each back.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from problems import random_problem

import dualib

BETAS, STEPS, TIMES, MISS = 20, 120, 10, 1e-9
LEAST = 1e-300


def starts(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Points of the simplex, ten times as many as there are rows."""
    n, n_y = rows.shape
    pairs, triples = (rows[rng.integers(0, n, (4 * n, size))].mean(axis=1) for size in (2, 3))
    return np.concatenate([rows, pairs, triples, rng.dirichlet(np.ones(n_y), n)])


def distances(py_x: np.ndarray, points: np.ndarray, kind: str) -> np.ndarray:
    """The divergence of the IB, KL(p_x || s), or of the dual IB, KL(s || p_x), of points s (m, n_y) and all x, (m, n)."""
    first, second = np.log(np.maximum(py_x, LEAST)), np.log(np.maximum(points, LEAST))
    if kind == "ib":
        return np.sum(py_x * first, axis=1) - second @ py_x.T
    return np.sum(points * second, axis=1)[:, None] - points @ first.T


def highest(py_x: np.ndarray, px: np.ndarray, log_z: np.ndarray, beta: float, kind: str, points: np.ndarray) -> float:
    """The largest log c that an ascent comes to, nats: each step to the centroid of p(x) exp(-beta d) / Z, and beyond it."""
    logs, best = np.log(np.maximum(py_x, LEAST)), -np.inf
    for step in range(STEPS):
        d = distances(py_x, points, kind)
        terms = np.log(px) - beta * d - log_z
        largest = terms.max(axis=1, keepdims=True)
        shares = np.exp(terms - largest)
        total = shares.sum(axis=1, keepdims=True)
        best = max(best, float((largest + np.log(total)).max()))
        shares /= total
        if kind == "ib":
            points = shares @ py_x
        else:
            points = shares @ logs
            points = np.exp(points - points.max(axis=1, keepdims=True))
            points /= points.sum(axis=1, keepdims=True)
        if step == STEPS // 3:  # the lower half has no hope
            order = np.argsort(-(largest + np.log(total))[:, 0])[: max(len(points) // 2, 1)]
            points = points[order]
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    began, points, misses, worst = time.process_time(), 0, 0, -np.inf
    for number in range(args.problems):
        case, rng = random_problem(number, args.seed + 20_000), np.random.default_rng([args.seed, number])
        joint, kind = case.joint, case.kind
        betas = dualib.onset(joint, kind) * np.geomspace(0.5, 30.0, BETAS)
        curve = dualib.anneal(joint, kind, betas, events=False)
        begin = starts(joint.py_x, rng)
        for solution in curve.solutions:
            d = distances(joint.py_x, solution.decoder, kind).T
            log_z = np.logaddexp.reduce(np.log(solution.weights) - solution.beta * d, axis=1)
            above = highest(joint.py_x, joint.px, log_z, solution.beta, kind, begin) - solution.gap
            points, worst = points + 1, max(worst, above)
            if above > MISS:
                misses += 1
                where = f"problem {number}, seed {args.seed}, {kind}, beta {solution.beta!r}"
                print(f"  missed: {where}: log c is {above:.2e} above the gap", flush=True)
    print(f"{points} points of {args.problems} problems, seed {args.seed}: {misses} missed by more than {MISS:g} nats")
    print(f"at most {worst:.1e} above the gap stated; {time.process_time() - began:.0f} s of CPU")


if __name__ == "__main__":
    main()
