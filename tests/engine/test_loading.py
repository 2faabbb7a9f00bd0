"""The compiled functions and their cache."""

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from dualib.engine import loading
from dualib.engine.loading import compiled
from dualib.warnings import CacheWarning


def test_importing_the_engine_does_not_import_numba():
    code = "import sys, dualib, dualib.engine.optimum; assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_cache_that_fails_costs_one_warning(monkeypatch):
    calls = []

    def import_module(name):
        calls.append(loading.use_cache)
        if len(calls) == 1:
            raise EOFError("Ran out of input")
        return sys

    monkeypatch.setattr(loading, "importlib", SimpleNamespace(import_module=import_module))
    monkeypatch.setattr(loading, "use_cache", True)
    monkeypatch.setitem(sys.modules, "dualib.engine.compiled", None)
    with pytest.warns(CacheWarning, match="EOFError: Ran out of input"):
        assert loading._loaded.__wrapped__("dualib.engine.compiled") is sys
    assert calls == [True, False]


def test_a_cache_whose_index_is_cut_short_costs_one_warning_and_the_answer_is_the_same(tmp_path):
    code = (
        "import warnings, dualib\n"
        "from numba.core import caching\n"
        "def cut(self): raise EOFError('Ran out of input')\n"
        "caching.IndexDataCacheFile._load_index = cut\n"
        "from dualib.engine.optimum import optimum\nfrom dualib.engine.problem import Problem\n"
        "with warnings.catch_warnings(record=True) as seen:\n"
        "    warnings.simplefilter('always')\n"
        "    found = optimum(Problem(dualib.datasets.toy(), dualib.IB()), [8.0], proofs=False)\n"
        "assert [type(one.message).__name__ for one in seen] == ['CacheWarning'], seen\n"
        "print(repr(float(found.sweep.objective[0])))\n"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert float(done.stdout) == pytest.approx(8.0 * 0.1225974513 + 0.410584 - 8.0 * 0.074305, abs=1e-5)


def test_exponentials_are_exact_to_rounding():
    rng = np.random.default_rng(0)
    terms = np.concatenate([rng.uniform(-249.0, 0.0, (3, 1000)), rng.uniform(-1.0, 300.0, (3, 1000))])
    owner, shift, reference = np.array([0, 0, 0, 1, 1, 1]), rng.normal(size=6), rng.normal(size=(2, 1000))
    expected = np.exp(np.maximum(terms + shift[:, None] - reference[owner], -250.0))
    wanted = terms.copy()
    compiled().exponentials(owner, wanted, shift, reference)
    low = terms + shift[:, None] - reference[owner] <= -250.0
    assert (wanted[low] == 0.0).all()
    np.testing.assert_allclose(wanted[~low], expected[~low], rtol=2e-13)
    special = np.array([[-np.inf, np.nan, -1e6, 0.0]])
    compiled().exponentials(np.zeros(1, dtype=np.int64), special, np.zeros(1), np.zeros((1, 4)))
    assert special[0, 0] == 0.0 and np.isnan(special[0, 1]) and special[0, 2] == 0.0 and special[0, 3] == 1.0
