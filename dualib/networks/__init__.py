"""Representations of networks beside a bound that is proved.

Estimators of information, information planes, ensembles of infinitely wide networks, variational bottlenecks.
Nothing else of the package imports this room. NumPy and SciPy suffice but for `train` and the variational bottlenecks, which need
``pip install "dualib[torch]"``. Every name is loaded at its first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dualib.networks import datasets
    from dualib.networks.ensemble_table import EnsembleTable
    from dualib.networks.ensembles import InfiniteEnsemble
    from dualib.networks.estimators import binned, info_nce, kde_bounds, ksg
    from dualib.networks.plane import InformationPlane, information_plane
    from dualib.networks.recording import Recording
    from dualib.networks.training import train
    from dualib.networks.variational import ConditionalEntropyBottleneck, VariationalDualIB, VariationalIB

_HOME = {
    "binned": "estimators",
    "kde_bounds": "estimators",
    "ksg": "estimators",
    "info_nce": "estimators",
    "InformationPlane": "plane",
    "information_plane": "plane",
    "Recording": "recording",
    "train": "training",
    "InfiniteEnsemble": "ensembles",
    "EnsembleTable": "ensemble_table",
    "VariationalDualIB": "variational",
    "VariationalIB": "variational",
    "ConditionalEntropyBottleneck": "variational",
}

__all__ = [
    "ConditionalEntropyBottleneck",
    "EnsembleTable",
    "InfiniteEnsemble",
    "InformationPlane",
    "Recording",
    "VariationalDualIB",
    "VariationalIB",
    "binned",
    "datasets",
    "info_nce",
    "information_plane",
    "kde_bounds",
    "ksg",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(f"dualib.networks.{_HOME[name]}"), name)
    elif name == "datasets":
        value = importlib.import_module("dualib.networks.datasets")
    else:
        raise AttributeError(f"module 'dualib.networks' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
