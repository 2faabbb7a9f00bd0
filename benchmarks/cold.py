"""What a new user waits for: seconds of fresh processes, with an empty cache of compiled functions and with a filled one.

    OPENBLAS_NUM_THREADS=1 python benchmarks/cold.py

CPU time and wall time, the least of some runs each; beside them what importing NumPy and numba alone takes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile

TABLE = (
    "import numpy, dualib; r = numpy.random.default_rng(0);"
    " j = dualib.JointDistribution.from_conditionals(r.dirichlet([1.0] * 8, 60))"
)
ROWS = (
    ("import numpy", "import numpy"),
    ("import numpy, scipy.linalg, numba", "import numpy, scipy.linalg, numba"),
    ("import dualib", "import dualib"),
    ("toy, one solve", "import dualib; dualib.solve(dualib.datasets.toy(), 8.0)"),
    ("60 x 8, one solve", f"{TABLE}; dualib.solve(j, 5.0)"),
    ("60 x 8, one solve into 5 clusters", f"{TABLE}; dualib.solve(j, 20.0, n_clusters=5)"),
    ("letters, a curve with all events", "import dualib; dualib.anneal(dualib.datasets.load_letters(0.5), 'ib')"),
    ("all compiled functions", "import dualib; dualib.compile_kernels()"),
)


def seconds(code: str, cache: str) -> tuple[float, float]:
    """CPU and wall seconds of a fresh process that runs the code."""
    script = f"import time\nbegan = time.perf_counter()\n{code}\nprint(time.process_time(), time.perf_counter() - began)"
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=True, capture_output=True, text=True)
    cpu, wall = done.stdout.split()
    return float(cpu), float(wall)


def least(code: str, runs: int, *, filled: bool) -> tuple[float, float]:
    """The least CPU and wall seconds of some runs, each with an empty cache or with one that a run before has filled."""
    found = []
    with tempfile.TemporaryDirectory() as shared:
        for _ in range(runs + filled):
            if filled:
                found.append(seconds(code, shared))
            else:
                with tempfile.TemporaryDirectory() as own:
                    found.append(seconds(code, own))
    found = found[int(filled) :]
    return min(cpu for cpu, _ in found), min(wall for _, wall in found)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3, help="fresh processes for each figure (default: 3)")
    arguments = parser.parse_args()
    print(f"{'':36s}{'empty cache: CPU':>18s}{'wall':>8s}{'filled: CPU':>14s}{'wall':>8s}   seconds")
    for name, code in ROWS:
        (cold, waited), (warm, passed) = (least(code, arguments.runs, filled=filled) for filled in (False, True))
        print(f"{name:36s}{cold:18.2f}{waited:8.2f}{warm:14.2f}{passed:8.2f}", flush=True)


if __name__ == "__main__":
    main()
