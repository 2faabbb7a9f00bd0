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


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """A folder with a copy of the package, and `pristine`, a copy of its filled cache of compiled kernels."""
    folder = tmp_path_factory.mktemp("jit")
    shutil.copytree(Path(dualib.__file__).parent, folder / "dualib", ignore=shutil.ignore_patterns("*.nbi", "*.nbc"))
    assert run(folder / "dualib", NUMBA_CACHE_DIR=str(folder / "cache")) == "0.074305 0"
    shutil.copytree(folder / "cache", folder / "pristine")
    return folder


@pytest.fixture
def package(warm):
    """The package, its cache as new."""
    shutil.rmtree(warm / "cache")
    shutil.copytree(warm / "pristine", warm / "cache")
    return warm / "dualib"


def files(cache: Path, suffix: str) -> list[Path]:
    """The cache's files of the module `kernels`: the larger ones take longer to compile, and fail alike."""
    found = sorted(path for path in cache.rglob(f"*.{suffix}") if path.name.startswith("kernels."))
    assert found
    return found


@pytest.mark.parametrize("content", [b"", b"not an index"])
def test_truncated_and_corrupt_indices(package, content):
    cache = package.parent / "cache"
    for index in files(cache, "nbi"):
        index.write_bytes(content)
    answer = run(package, NUMBA_CACHE_DIR=str(cache)).split()
    assert answer[0] == "0.074305"
    assert answer[1:] in (["0"], ["1", "CacheWarning"])


def test_corrupt_code(package):
    cache = package.parent / "cache"
    for code in files(cache, "nbc"):
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
