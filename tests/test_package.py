"""The package as a whole: what importing it costs, its names, and the list of its compiled functions."""

import os
import subprocess
import sys

import pytest

import dualib


def test_importing_the_package_imports_nothing_heavy():
    heavy = ("numpy", "numba", "scipy", "matplotlib", "pandas", "sklearn")
    code = f"import sys, dualib; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_listed_before_it_is_imported():
    code = "import dualib; names = dir(dualib); print(sorted(set(dualib.__all__) - set(names)), names == sorted(names))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] True"
    assert set(dualib.__all__) <= set(dir(dualib))
    with pytest.raises(AttributeError, match="module 'dualib' has no attribute 'no_such_name'"):
        _ = dualib.no_such_name


@pytest.mark.parametrize("disabled", [False, True])
def test_every_compiled_function_is_listed_with_its_one_signature(disabled):
    code = "import dualib\nfor r in dualib.compile_kernels(): print(r.name, r.state, r.signature.count('('), r.seconds >= 0.0)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NUMBA_DISABLE_JIT": str(int(disabled))},
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line.split() for line in done.stdout.splitlines()]
    assert {"dualib.engine.compiled.conjugate", "dualib.engine.compiled_cells.bound_cells"} <= {row[0] for row in rows}
    assert {row[1] for row in rows} <= ({"python"} if disabled else {"loaded", "compiled"})
    assert all((row[2] == "0") == disabled and row[3] == "True" for row in rows)
