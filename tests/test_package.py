"""The package as a whole: what importing it costs, its names, and the list of its compiled functions."""

import os
import pydoc
import re
import subprocess
import sys

import pytest

import dualib


def test_importing_the_package_imports_nothing_heavy():
    heavy = ("numpy", "numba", "scipy", "matplotlib", "pandas", "sklearn")
    code = f"import sys, dualib; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_rest_does_not_import_the_networks_nor_they_torch():
    """Every module of the package but those that are for torch, in one process."""
    code = """
import importlib, pathlib, sys
import dualib
root = pathlib.Path(dualib.__file__).parent
files = [path.relative_to(root.parent).with_suffix("") for path in root.rglob("*.py")]
names = [".".join(path.parts) for path in files if path.name not in ("__init__", "__main__")]
for name in (n for n in names if not n.startswith("dualib.networks")):
    importlib.import_module(name)
print(sorted(m for m in sys.modules if m.startswith("dualib.networks")))
for name in (n for n in names if n.startswith("dualib.networks") and not n.endswith((".variational", ".variational_nets"))):
    importlib.import_module(name)
print("dualib.networks.training" in sys.modules, "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "True False"]


def test_every_public_name_of_the_networks_is_listed_and_loaded():
    from dualib import networks

    assert dir(networks) == sorted(networks.__all__)
    for name in set(networks.__all__) - {"VariationalDualIB", "VariationalIB", "ConditionalEntropyBottleneck"}:
        assert getattr(networks, name).__name__ in (name, f"dualib.networks.{name}")
    with pytest.raises(AttributeError, match=r"module 'dualib\.networks' has no attribute 'no_such_name'"):
        _ = networks.no_such_name


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


# --- where to start -------------------------------------------------------------------------------------------------


def test_the_help_of_the_package_begins_with_where_to_start():
    code = "import dualib, pydoc; print(pydoc.plain(pydoc.render_doc(dualib)))"
    environment = {**os.environ, "COLUMNS": "200"}
    text = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment).stdout
    start = text[: text.index("PACKAGE CONTENTS")]
    calls = re.findall(r">>> (?:\w+ = )?([\w.]+)", start)
    assert calls == [
        "import",
        *(
            "dualib.JointDistribution.from_counts",
            "dualib.solve",
            "dualib.anneal",
            "curve.save",
            "curve.plot_information_plane",
        ),
    ]
    for word in ("Where to start", "`onset`", "`certify`", "`read_table`", "`compare_predictions`", "dualib --help"):
        assert word in start


def test_the_five_calls_run(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib.pyplot").switch_backend("Agg")
    monkeypatch.chdir(tmp_path)
    names = {}
    for line in re.findall(r"^>>> (.*)$", dualib.__doc__, re.M):
        exec(line, names)  # the package's own docstring
    assert names["solution"].gap < 1e-8 and len(names["curve"]) == 4
    assert len(dualib.load("curve.npz")) == 4


def test_dir_has_the_public_names_only():
    code = "import dualib, dualib.cli; dualib.solve; dualib.JointDistribution; print(*dir(dualib))"
    names = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert set(names) == {*dualib.__all__, "networks", "plotting", "sharded", "__version__"}
    assert names == sorted(names)
    assert not {"Any", "importlib", "annotations", "joint", "solver", "cli", "_validation"} & set(names)
    assert all(hasattr(dualib, name) for name in names)
    assert pydoc.getdoc(dualib).startswith("dualib: the Information Bottleneck")
