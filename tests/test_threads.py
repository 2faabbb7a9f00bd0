"""One BLAS thread for small problems: the same numbers whatever the threads, and no need of threadpoolctl."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dualib
from dualib import threads

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = """
import hashlib, numpy as np, dualib
joint = dualib.datasets.load_letters(smoothing=0.5)
curve = dualib.anneal(joint, "ib", [3.0, 6.0], events=False)
print(hashlib.sha256(b"".join(solution.encoder.tobytes() for solution in curve)).hexdigest())
"""


def _run(count):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT],
        env={**os.environ, "OPENBLAS_NUM_THREADS": str(count), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_the_number_of_blas_threads_does_not_change_a_bit():
    pytest.importorskip("threadpoolctl")
    assert _run(1) == _run(2)


def test_the_limit_holds_inside_a_solve_and_ends_with_it():
    threadpoolctl = pytest.importorskip("threadpoolctl")

    def counts():
        return [lib["num_threads"] for lib in threadpoolctl.threadpool_info() if lib["user_api"] == "blas"]

    seen: list[list[int]] = []
    threads._controller()  # loads both libraries
    before = counts()
    dualib.anneal(dualib.datasets.toy(), "ib", [2.0], progress=lambda done, total: seen.append(counts()))
    assert seen
    assert set(np.ravel(seen)) == {1}
    assert counts() == before


def test_without_threadpoolctl_all_works(monkeypatch):
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    threads._controller.cache_clear()
    try:
        assert threads._controller() is None
        assert dualib.solve(joint=dualib.datasets.toy(), beta=8.0).converged
    finally:
        threads._controller.cache_clear()


@pytest.mark.parametrize("name", ["rho", "error_bound", "stability"])
def test_what_a_solution_computes_when_asked_is_on_one_thread(name, monkeypatch):
    solution = dualib.solve(dualib.datasets.toy(), 8.0)
    asked = []
    monkeypatch.setattr(threads, "single_blas_thread", lambda: asked.append(name) or contextlib.nullcontext())
    getattr(solution, name)
    assert asked


def test_the_solutions_beside_events_are_made_on_one_thread(monkeypatch):
    (event, *_) = dualib.anneal(dualib.datasets.toy(), betas=[2.0, 8.0]).events
    asked = []
    monkeypatch.setattr(threads, "single_blas_thread", lambda: asked.append(1) or contextlib.nullcontext())
    assert event.below.n_clusters == event.before
    assert asked


def test_events_that_are_looked_for_later_are_on_one_thread(monkeypatch):
    curve = dualib.anneal(dualib.datasets.toy(), betas=[2.0, 8.0], events=False)
    asked = []
    monkeypatch.setattr(threads, "single_blas_thread", lambda: asked.append(1) or contextlib.nullcontext())
    assert curve.events
    assert asked
