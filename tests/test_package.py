"""The package as a name: light to import, its public names known beforehand."""

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
