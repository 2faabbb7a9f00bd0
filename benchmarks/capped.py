"""Capped solves of tables with zeros against forty lines of NumPy (`tests/baseline.py`): crashes, warnings, and which are worse.

    OPENBLAS_NUM_THREADS=1 python benchmarks/capped.py                # 2,000 solves by the IB, some minutes
    OPENBLAS_NUM_THREADS=1 python benchmarks/capped.py --count 200    # every tenth of them
    OPENBLAS_NUM_THREADS=1 python benchmarks/capped.py --tables documents "spike words"    # 800 of them

Five tables of counts with zeros: which letter follows which; documents of mixed topics, two sizes; documents of two topics, each
with a word of its own; spike words of neurons. Each is solved with 2, 3, 5, 8 and 12 clusters, at eight betas from 5 to 1e4, by ten
seeds: the first with a certificate of the optimum without the cap, the others without. The baseline has the best of ten seeds of its
own.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
import traceback
import warnings
from pathlib import Path

import numpy as np

import dualib

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import baseline

CLUSTERS = (2, 3, 5, 8, 12)
BETAS = (5.0, 10.0, 20.0, 50.0, 100.0, 500.0, 2000.0, 1e4)
SEEDS = 10
WORSE = 1e-6  # nats


def documents(n: int, words: int, topics: int, seed: int) -> np.ndarray:
    """Counts of words, each document of one topic but for a sixth of its words."""
    rng = np.random.default_rng(seed)
    of_topic = rng.dirichlet(np.full(words, 0.05), topics)
    return np.array(
        [rng.multinomial(rng.integers(30, 200), 5 / 6 * row + 1 / (6 * words)) for row in of_topic[np.arange(n) % topics]]
    )


def own_words(n: int) -> np.ndarray:
    """Two topics of two words each, and a word of its own in every document."""
    counts = np.zeros((n, 4 + n))
    for i in range(n):
        counts[i, 2 * (i % 2) : 2 * (i % 2) + 2] = 63, 27
        counts[i, 4 + i] = 10
    return counts


def spike_words(stimuli: int, neurons: int, seed: int) -> np.ndarray:
    """How often each word of silent and firing neurons was seen, 60 times for each stimulus."""
    rng = np.random.default_rng(seed)
    words = rng.random((stimuli, 60, neurons)) < rng.uniform(0.02, 0.6, (stimuli, 1, neurons))
    numbers = words @ (2 ** np.arange(neurons))
    return np.array([np.bincount(row, minlength=2**neurons) for row in numbers])


def tables() -> dict[str, dualib.JointDistribution]:
    """The joint distributions by name."""
    counts = {
        "documents": documents(30, 60, 5, 0),
        "more documents": documents(60, 120, 8, 1),
        "own words": own_words(16),
        "spike words": spike_words(32, 6, 2),
    }
    made = {name: dualib.JointDistribution.from_counts(table[:, table.sum(axis=0) > 0]) for name, table in counts.items()}
    return {"letters": dualib.datasets.load_letters(), **made}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000, help="how many of the 2,000 solves, evenly spread")
    parser.add_argument("--tables", nargs="+", help="only these, by name")
    parser.add_argument("--show", action="store_true", help="print each solve that is worse")
    arguments = parser.parse_args()
    joints, best = tables(), {}
    if arguments.tables:
        joints = {name: joints[name] for name in arguments.tables}
    cases = list(itertools.product(joints, CLUSTERS, BETAS, range(SEEDS)))
    chosen = [cases[i] for i in np.unique(np.linspace(0, len(cases) - 1, min(arguments.count, len(cases))).astype(int))]
    crashes, warned, worse, better, times = 0, 0, [], 0, []
    for name, k, beta, seed in chosen:
        joint = joints[name]
        if (name, k, beta) not in best:
            best[name, k, beta] = baseline.solve(joint.px, joint.py_x, beta, k)
        start = time.process_time()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                solution = dualib.solve(joint, beta, n_clusters=k, certify=seed == 0, random_state=seed)
            except Exception:
                crashes += 1
                traceback.print_exc()
                continue
        times.append(time.process_time() - start)
        warned += len(caught)
        for warning in caught:
            print(f"{name}, k={k}, beta={beta:g}, seed {seed}: {warning.message}")
        above = solution.objective - best[name, k, beta]
        worse += [above] if above > WORSE else []
        better += above < -WORSE
        if above > WORSE and arguments.show:
            print(
                f"{name}, k={k}, beta={beta:g}, seed {seed}: {solution.objective:.9f}, {above:.1e} above the baseline",
                flush=True,
            )
    print(f"{len(chosen)} capped solves in {sum(times):.0f} s of CPU time, {np.median(times):.2f} s in the median")
    most = f" (by {max(worse):.1e} at most)" if worse else ""
    verdict = f"above the baseline by more than {WORSE:g} nats: {len(worse)}{most}"
    print(f"crashes {crashes}, warnings {warned}, {verdict}; below it: {better}")


if __name__ == "__main__":
    main()
