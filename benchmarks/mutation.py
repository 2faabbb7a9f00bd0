"""Mutation testing of the distortions, the certificate and the solver: the small changes of the code that no test notices.

    pip install cosmic-ray
    python benchmarks/mutation.py                  # a sample of 300 mutants, the same every time: half an hour
    python benchmarks/mutation.py --sample 0       # all of them

It works in a copy of the checkout. Mutants of ``|`` are left out: nearly all stand in annotations, which are never evaluated.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

# target: (modules, tests, part of the sample)
TARGETS = {
    "solver": (
        ("solving/solver",),
        "tests/solving/test_solver.py tests/solving/test_solver_options.py tests/test_validation.py",
        0.3,
    ),
    "certificate": (
        ("solving/certificate", "engine/judge"),
        "tests/solving/test_certify.py tests/solving/test_certify_encoders.py -k 'not gaussian and not seed'",
        0.3,
    ),
    "distortions": (("distortions",), "tests/distortions/test_distortions.py", 0.4),
}
CONFIG = """[cosmic-ray]
module-path = {modules}
timeout = {timeout}
excluded-modules = []
test-command = "{python} -m pytest -o addopts=-q -x {tests}"
[cosmic-ray.distributor]
name = "local"
"""


def cosmic_ray(folder: Path, *arguments: str) -> str:
    """The output of a command of cosmic-ray, run in the copy."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "cosmic_ray.cli", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout


def keep_sample(session: Path, size: int) -> int:
    """Drop the mutants outside the sample from a session; returns how many are left."""
    with sqlite3.connect(session) as base:
        rows = base.execute(
            "select job_id, operator_name, module_path, start_pos_row, start_pos_col, occurrence from mutation_specs"
        )
        found = rows.fetchall()
        real = sorted((row for row in found if "BitOr" not in row[1]), key=lambda row: row[1:])
        kept = {row[0] for row in (random.Random(0).sample(real, size) if 0 < size < len(real) else real)}
        dropped = [(row[0],) for row in found if row[0] not in kept]
        for table in ("mutation_specs", "work_items"):
            base.executemany(f"delete from {table} where job_id = ?", dropped)
    return len(kept)


def survivors(folder: Path, session: str) -> list[str]:
    """The changed lines of the mutants that no test noticed."""
    found = []
    for line in cosmic_ray(folder, "dump", session).splitlines():
        _, result = json.loads(line)
        if result and result["test_outcome"] == "survived":
            changes = [row for row in result["diff"].splitlines() if row[:1] in "+-" and row[:3] not in ("+++", "---")]
            found.append("\n".join(changes))
    return found


def main() -> None:
    """Print the survivors and the part killed of each target."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, default=300, help="mutants in all, 0 for every one (default: 300)")
    parser.add_argument("--timeout", type=float, default=40.0, help="seconds for the tests of a mutant (default: 40)")
    arguments = parser.parse_args()
    root = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "copy"
        shutil.copytree(root, folder, ignore=shutil.ignore_patterns(".git", "__pycache__", ".hypothesis", ".venv"))
        subprocess.run(  # so that the tests of the first mutants are not cut off while functions are compiled
            [sys.executable, "-c", "import dualib; dualib.compile_kernels()"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder)},
            check=True,
        )
        for name, (modules, tests, part) in TARGETS.items():
            paths = json.dumps([f"dualib/{module}.py" for module in modules])
            text = CONFIG.format(modules=paths, timeout=arguments.timeout, python=sys.executable, tests=tests)
            (folder / f"{name}.toml").write_text(text)
            cosmic_ray(folder, "init", f"{name}.toml", f"{name}.sqlite")
            total = keep_sample(folder / f"{name}.sqlite", round(part * arguments.sample))
            cosmic_ray(folder, "baseline", f"{name}.toml")
            cosmic_ray(folder, "exec", f"{name}.toml", f"{name}.sqlite")
            alive = survivors(folder, f"{name}.sqlite")
            print("\n".join(alive))
            print(f"{name}: {total - len(alive)} of {total} killed, {1.0 - len(alive) / total:.0%}\n", flush=True)


if __name__ == "__main__":
    main()
