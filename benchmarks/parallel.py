"""How much sooner sweeps end on several cores: wall-clock time of one job over that of N, by turns in one run.

    OPENBLAS_NUM_THREADS=1 python benchmarks/parallel.py --jobs 2

The least time of each counts. Workers are started, and functions compiled, before. That results are the same bit for bit
is checked on the way.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

import dualib

BETAS = np.geomspace(2.0, 30.0, 8)


def problem(n_x: int, n_y: int, seed: int) -> dualib.JointDistribution:
    rng = np.random.default_rng([n_x, n_y, seed])
    return dualib.JointDistribution.from_conditionals(rng.dirichlet(np.full(n_y, 0.5), n_x))


def cases() -> dict[str, Callable[..., Any]]:
    """Sweeps by name, each taking `n_jobs` and `backend`."""
    tiny, small = [problem(8, 8, seed) for seed in range(8)], [problem(60, 6, seed) for seed in range(8)]
    middle = [problem(100, 10, seed) for seed in range(4)]
    kinds = ["ib", "dualib"]
    contexts = dualib.datasets.load_contexts()
    counts = contexts.train_counts, contexts.test_counts

    def compare(n_jobs: int, backend: str) -> Any:
        import joblib

        with joblib.parallel_config(backend=backend):
            return dualib.compare_predictions(*counts, methods=("ib", "dualib"), n_train=5000, n_splits=2, n_jobs=n_jobs)

    return {
        "solve_many, 128 of 8 x 8": lambda **how: dualib.solve_many(tiny, BETAS, distortions=kinds, **how),
        "solve_many, 128 of 60 x 6": lambda **how: dualib.solve_many(small, BETAS, distortions=kinds, **how),
        "anneal_many, 8 paths of 100 x 10": lambda **how: dualib.anneal_many(middle, BETAS, distortions=kinds, **how),
        "compare_predictions, contexts": compare,
    }


def bits(result: Any) -> bytes:
    """Everything that a result says, as bytes."""
    if isinstance(result, dualib.Comparison):
        return repr(result.rows()).encode()
    solutions = [s for entry in result.flat for s in (entry if isinstance(entry, dualib.Curve) else [entry])]
    return b"".join(s.encoder.tobytes() + s.decoder.tobytes() + repr(s.summary()).encode() for s in solutions)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    ways = {"one": (1, "loky"), "processes": (arguments.jobs, "loky"), "threads": (arguments.jobs, "threading")}
    print(f"{'':<36}{'processes':>12}{'threads':>12}   times sooner with {arguments.jobs} jobs")
    for name, call in cases().items():
        times: dict[str, list[float]] = {way: [] for way in ways}
        expected = None
        for _ in range(arguments.repeats + 1):
            for way, (n_jobs, backend) in ways.items():
                start = time.perf_counter()
                result = bits(call(n_jobs=n_jobs, backend=backend))
                times[way].append(time.perf_counter() - start)
                expected = result if expected is None else expected
                assert result == expected, f"{name}: {way} differ"
        least = {way: min(seconds[1:]) for way, seconds in times.items()}  # the first of each starts workers
        print(f"{name:<36}{least['one'] / least['processes']:>12.2f}{least['one'] / least['threads']:>12.2f}", flush=True)


if __name__ == "__main__":
    main()
