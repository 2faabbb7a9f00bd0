"""Seconds from nothing to the first certified solution of the five-point toy, in a fresh process, with and without compiled kernels.

    OPENBLAS_NUM_THREADS=1 python benchmarks/cold.py
    OPENBLAS_NUM_THREADS=1 python benchmarks/cold.py --kernels   # the list of kernels, and what compiling each costs

Each row is the least of a few fresh processes, beside the time that the same interpreter takes to import NumPy and numba alone.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile

IMPORTS = "import numpy", "import numpy, scipy.linalg, numba"
SOLVE = "import dualib; dualib.solve(dualib.datasets.toy(), {beta}, {kind!r})"
COMPILE = (
    "import dualib\nfor r in dualib.compile_kernels(): print(f'{r.name:40s} {r.state:9s} {r.seconds:6.2f} s  {r.signature}')"
)


def seconds(code: str, cache: str, runs: int) -> float:
    """The least time of fresh processes that run the code."""
    script = f"import time\nstart = time.perf_counter()\n{code}\nprint(time.perf_counter() - start)"
    return min(float(run(script, cache).split()[-1]) for _ in range(runs))


def run(code: str, cache: str) -> str:
    """What a fresh process prints."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
    return subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True).stdout


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernels", action="store_true", help="list the kernels with the time to compile and to load each")
    parser.add_argument("--runs", type=int, default=5, help="fresh processes for each row (default: 5)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        rows = [(code, code) for code in IMPORTS]
        rows += [
            (f"first solve, {kind}, beta {b:g}", SOLVE.format(beta=b, kind=kind))
            for kind in ("ib", "dualib")
            for b in (3.3, 8.0)
        ]
        for name, code in rows:
            print(f"{name:40s} {seconds(code, cache, arguments.runs):6.2f} s", flush=True)
        if arguments.kernels:
            print("\nempty cache\n" + run(COMPILE, cache) + "\nfilled cache\n" + run(COMPILE, cache))


if __name__ == "__main__":
    main()
