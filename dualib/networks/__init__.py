"""Representations of networks beside a bound that is proved.

Estimators of information, information planes, ensembles of infinitely wide networks, variational bottlenecks.
Nothing else of the package imports this room. NumPy and SciPy suffice but for `train` and the variational bottlenecks, which need
``pip install "dualib[torch]"``. Every name is loaded at its first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dualib._lazy import lazy

if TYPE_CHECKING:
    from dualib.networks import datasets
    from dualib.networks.ensemble_table import EnsembleTable
    from dualib.networks.ensembles import InfiniteEnsemble
    from dualib.networks.estimators import binned, info_nce, kde_bounds, ksg
    from dualib.networks.plane import InformationPlane, information_plane
    from dualib.networks.recording import Recording
    from dualib.networks.training import train
    from dualib.networks.variational import ConditionalEntropyBottleneck, VariationalDualIB, VariationalIB

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

__getattr__, __dir__ = lazy(
    __name__,
    {
        "estimators": "binned kde_bounds ksg info_nce",
        "plane": "InformationPlane information_plane",
        "recording": "Recording",
        "training": "train",
        "ensembles": "InfiniteEnsemble",
        "ensemble_table": "EnsembleTable",
        "variational": "VariationalDualIB VariationalIB ConditionalEntropyBottleneck",
    },
    modules=("datasets",),
)
