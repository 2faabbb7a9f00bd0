"""Every public name is in the reference, with an example that runs and prints what it says."""

import doctest
import importlib
import inspect
import re
import warnings
from pathlib import Path

import pytest

import dualib

API = Path(__file__).resolve().parents[2] / "docs" / "reference" / "api.rst"
MODULES = ("closed_forms", "datasets", "exponents", "information", "networks", "plotting", "sharded")
NEEDS_TORCH = ("train", "VariationalDualIB", "ConditionalEntropyBottleneck", "VariationalIB")
INTERNAL = {
    "dualib.networks.datasets",
    "dualib.information.mutual_information_of",
    "dualib.information.sparse_mutual_information",
}  # unchecked, unconverted


def listed() -> list[str]:
    """The names in the tables of the reference, in full."""
    names, module = [], ""
    for line in API.read_text(encoding="utf-8").splitlines():
        if line.startswith(".. currentmodule:: "):
            module = line.split(":: ")[1]
        elif re.fullmatch(r"   \w+", line):
            names.append(f"{module}.{line.strip()}")
    return names


def public() -> set[str]:
    """What a user may call: the package's own names, and the functions and classes of its public modules."""
    names = {f"dualib.{name}" for name in dualib.__all__ if name not in MODULES}
    for module in (importlib.import_module(f"dualib.{name}") for name in MODULES):
        own = getattr(module, "__all__", None) or [
            name
            for name, value in vars(module).items()
            if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__ and callable(value)
        ]
        names |= {f"{module.__name__}.{name}" for name in own}
    return names - INTERNAL


def test_the_reference_lists_every_public_name_once():
    assert len(listed()) == len(set(listed()))
    assert set(listed()) == public()


@pytest.mark.parametrize("name", listed())
def test_each_has_an_example_that_is_true(name, monkeypatch, tmp_path):
    module, _, attribute = name.rpartition(".")
    if attribute in NEEDS_TORCH:
        pytest.importorskip("torch")
    value = getattr(importlib.import_module(module), attribute)
    examples = doctest.DocTestParser().get_examples(inspect.getdoc(value) or "")
    assert examples, f"{name} has no example"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    test = doctest.DocTest(examples, {}, name, None, None, None)
    said: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test, out=said.append)
    assert not said, "".join(said)


def test_the_first_page_of_help_is_true():
    assert doctest.testmod(dualib).failed == 0
