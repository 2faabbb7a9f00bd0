"""The on-disk cache of compiled functions: a broken one costs one warning, never a failure; and what is told while they compile."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import dualib
from dualib import doors
from dualib.engine import loading

pytestmark = pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled, so nothing is cached")

SCRIPT = """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import dualib
    solution = dualib.solve(dualib.datasets.toy(), 8.0, certify=False)
print(round(solution.relevance, 6), len(caught), *(type(w.message).__name__ for w in caught))
"""


def run(package: Path, **environment: str) -> list[str]:
    """Solve the toy in a fresh process on a copy of the package, and what it printed."""
    variables = {**os.environ, "PYTHONPATH": str(package.parent), **environment}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=variables, cwd=package.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """A folder with a copy of the package, and `pristine`, a copy of its filled cache."""
    folder = tmp_path_factory.mktemp("cache")
    shutil.copytree(Path(dualib.__file__).parent, folder / "dualib", ignore=shutil.ignore_patterns("*.nbi", "*.nbc"))
    assert run(folder / "dualib", NUMBA_CACHE_DIR=str(folder / "cache")) == ["0.074305", "0"]
    shutil.copytree(folder / "cache", folder / "pristine")
    return folder


@pytest.fixture
def package(warm):
    """The package, its cache as new."""
    shutil.rmtree(warm / "cache")
    shutil.copytree(warm / "pristine", warm / "cache")
    return warm / "dualib"


def files(cache: Path, suffix: str) -> list[Path]:
    found = sorted(cache.rglob(f"compiled.*.{suffix}"))
    assert len(found) >= 4
    return found


@pytest.mark.parametrize("content", [b"", b"not an index"])
def test_truncated_and_corrupt_indices(package, content):
    cache = package.parent / "cache"
    for index in files(cache, "nbi"):
        index.write_bytes(content)
    answer = run(package, NUMBA_CACHE_DIR=str(cache))
    assert answer[0] == "0.074305"
    assert answer[1:] in (["0"], ["1", "CacheWarning"])


def test_corrupt_code(package):
    cache = package.parent / "cache"
    for code in files(cache, "nbc"):
        code.write_bytes(code.read_bytes()[: len(code.read_bytes()) // 2])
    answer = run(package, NUMBA_CACHE_DIR=str(cache))
    assert answer[0] == "0.074305"
    assert answer[1:] in (["0"], ["1", "CacheWarning"])


def test_a_cache_that_cannot_be_written(package):
    """A file where the cache's folder should be: no account, not even the administrator's, can write below it."""
    blocked = package.parent / "blocked"
    blocked.write_text("in the way")
    shutil.rmtree(package / "engine" / "__pycache__", ignore_errors=True)
    (package / "engine" / "__pycache__").write_text("in the way")
    answer = run(package, NUMBA_CACHE_DIR=str(blocked), HOME=str(blocked), XDG_CACHE_HOME=str(blocked))
    assert answer == ["0.074305", "1", "CacheWarning"]


def test_all_modules_of_compiled_functions_are_known():
    """They are the files that import numba's njit."""
    root = Path(dualib.__file__).parent
    found = {
        "dualib." + ".".join(path.relative_to(root).with_suffix("").parts)
        for path in root.rglob("*.py")
        if "import njit" in path.read_text(encoding="utf-8")
    }
    assert found == set(loading.MODULES)


def test_whoever_waits_for_the_compiler_is_told_once(monkeypatch, capsys):
    class Timer:
        daemon = False

        def __init__(self, seconds, tell):
            assert seconds == loading.PATIENCE <= 2.0
            self.tell, self.cancelled = tell, False
            timers.append(self)

        def start(self):
            self.tell()

        def cancel(self):
            self.cancelled = True

    timers = []
    monkeypatch.setattr(loading.threading, "Timer", Timer)
    monkeypatch.setattr(doors, "speaks", False)
    loading._tell.cache_clear()
    with loading._announced():
        pass
    assert not timers and capsys.readouterr().err == ""  # nobody reads a pipe of a library
    monkeypatch.setattr(doors, "speaks", True)
    for _ in range(2):
        with loading._announced():
            pass
    assert capsys.readouterr().err == loading.NOTICE
    assert all(timer.cancelled and timer.daemon for timer in timers)
    loading._tell.cache_clear()
