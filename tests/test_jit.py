"""The on-disk cache of compiled kernels: a broken one costs one warning, never a failure."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import dualib
from dualib import bound_kernels, kernels

SCRIPT = """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import dualib
    solution = dualib.solve(dualib.datasets.toy(), 8.0)
print(round(solution.relevance, 6), len(caught), *(type(w.message).__name__ for w in caught))
"""


def run(package: Path, **environment: str) -> str:
    """Solve the toy in a fresh process on a copy of the package; what it printed."""
    variables = {**os.environ, "PYTHONPATH": str(package.parent), "OPENBLAS_NUM_THREADS": "1", **environment}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=variables, cwd=package.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def package(tmp_path):
    """A copy of the package with its cache of compiled kernels filled."""
    copy = tmp_path / "dualib"
    shutil.copytree(Path(dualib.__file__).parent, copy, ignore=shutil.ignore_patterns("*.nbi", "*.nbc"))
    cache = tmp_path / "cache"
    cache.mkdir()
    assert run(copy, NUMBA_CACHE_DIR=str(cache)) == "0.074305 0"
    return copy


def indices(cache: Path) -> list[Path]:
    return sorted(cache.rglob("*.nbi"))


def test_truncated_and_corrupt_indices(package):
    cache = package.parent / "cache"
    assert indices(cache)
    for content in (b"", b"not an index"):
        for index in indices(cache):
            index.write_bytes(content)
        answer = run(package, NUMBA_CACHE_DIR=str(cache)).split()
        assert answer[0] == "0.074305"
        assert answer[1:] in (["0"], ["1", "CacheWarning"])


def test_corrupt_code(package):
    cache = package.parent / "cache"
    for code in cache.rglob("*.nbc"):
        code.write_bytes(code.read_bytes()[: len(code.read_bytes()) // 2])
    answer = run(package, NUMBA_CACHE_DIR=str(cache)).split()
    assert answer[0] == "0.074305"
    assert answer[1:] in (["0"], ["1", "CacheWarning"])


def test_a_cache_that_cannot_be_written(package):
    """A file where the cache's folder should be: no account, not even the administrator's, can write below it."""
    blocked = package.parent / "blocked"
    blocked.write_text("in the way")
    shutil.rmtree(package / "__pycache__", ignore_errors=True)
    (package / "__pycache__").write_text("in the way")
    answer = run(package, NUMBA_CACHE_DIR=str(blocked), HOME=str(blocked), XDG_CACHE_HOME=str(blocked)).split()
    assert answer == ["0.074305", "1", "CacheWarning"]


def test_one_signature_each():
    for module in (kernels, bound_kernels):
        for name, function in vars(module).items():
            if hasattr(function, "signatures") and not name.startswith("_exp"):
                assert len(function.signatures) == 1, name


def test_importing_the_package_imports_nothing_heavy():
    heavy = ("numpy", "numba", "scipy", "matplotlib", "pandas", "sklearn")
    code = f"import sys, dualib; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
