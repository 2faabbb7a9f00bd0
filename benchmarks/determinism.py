"""Do results depend on the number of threads of BLAS and of numba? One process for each combination; a digest of every result.

    python benchmarks/determinism.py

Each problem is solved and annealed in every process. A line says "same bits" where all processes agree, and otherwise the largest
difference between objectives. The second table is without threadpoolctl.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
import sys
from typing import Any

SIZES = ((60, 6), (100, 10), (500, 50))
KINDS = ("ib", "dualib")
COUNTS = (1, 2)


def child(without: bool) -> None:
    """Solve everything; prints {name: [digest, objectives]} as JSON."""
    if without:
        sys.modules["threadpoolctl"] = None  # type: ignore[assignment]
    import numpy as np

    import dualib

    found: dict[str, Any] = {}
    for (n_x, n_y), kind in itertools.product(SIZES, KINDS):
        rng = np.random.default_rng([n_x, n_y])
        joint = dualib.JointDistribution.from_conditionals(rng.dirichlet(np.full(n_y, 0.5), n_x))
        results = {"solve": [dualib.solve(joint, beta, kind) for beta in (3.0, 10.0)]}
        if n_x <= 100:
            results["anneal"] = [*dualib.anneal(joint, kind, [3.0, 5.0, 10.0])]
        for call, solutions in results.items():
            digest = hashlib.sha256()
            for s in solutions:
                for array in (s.encoder, s.weights, s.means, s.decoder, s.stability):
                    digest.update(array.tobytes())
                digest.update(repr(s.summary()).encode())
            found[f"{call} {n_x} x {n_y}, {kind}"] = [digest.hexdigest(), [s.objective for s in solutions]]
    print(json.dumps(found))


def run(blas: int, numba: int, *, without: bool) -> dict[str, Any]:
    variables = {"OPENBLAS_NUM_THREADS": str(blas), "OMP_NUM_THREADS": str(blas), "NUMBA_NUM_THREADS": str(numba)}
    command = [sys.executable, __file__, "--child", *(["--without"] if without else [])]
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main() -> None:
    for without in (False, True):
        print("without threadpoolctl" if without else "with threadpoolctl")
        runs = [run(blas, numba, without=without) for blas, numba in itertools.product(COUNTS, COUNTS)]
        for name in runs[0]:
            columns = zip(*(found[name][1] for found in runs), strict=True)
            worst = max(max(values) - min(values) for values in columns)
            same = len({found[name][0] for found in runs}) == 1
            print(f"  {name:<28}{'same bits' if same else f'objectives within {worst:.1e}'}")


if __name__ == "__main__":
    child("--without" in sys.argv) if "--child" in sys.argv else main()
