"""dualib: the Information Bottleneck and the dual Information Bottleneck, solved to certified optimality.

Where to start, five calls:

>>> import dualib
>>> joint = dualib.JointDistribution.from_counts([[5, 3, 1], [1, 8, 2], [0, 1, 9]])  # rows are the x, columns the y
>>> solution = dualib.solve(joint, beta=4.0)  # clusters of x at one trade-off: .encoder, .decoder, .gap
>>> curve = dualib.anneal(joint, betas=[1, 2, 4, 8])  # the path over beta: .events, .onset; without betas it finds its own
>>> curve.save("curve.npz")  # doctest: +SKIP
>>> axes = curve.plot_information_plane()  # doctest: +SKIP

Further: `onset`, below which one cluster is optimal; `certify`, how far any encoder is from the optimum; `read_table` and `load`
for files; `compare_predictions`, held-out scores; `datasets`; `InformationBottleneck`, the estimator for scikit-learn. "ib" and
"dualib" name the two problems: ``dualib.solve(joint, 4.0, "dualib")``. Information is in nats. ``dualib --help`` in a shell.

Modules that are not named here are internal. Every public name is loaded at its first use, so that ``import dualib`` costs next to
nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dualib import closed_forms, datasets, exponents, information
    from dualib.annealing import anneal
    from dualib.certificate import Certificate, certify
    from dualib.clusters.agglomerate import Tree, agglomerate
    from dualib.comparison import compare_predictions
    from dualib.critical import onset
    from dualib.distortions import IB, Alpha, Bregman, Distortion, DualIB, RateDistortion, local_critical_beta
    from dualib.estimators import DualInformationBottleneck, InformationBottleneck
    from dualib.exponential import ExponentialFamily
    from dualib.following import follow
    from dualib.interpolation import CurvePoint
    from dualib.jit import compile_kernels
    from dualib.joint import JointDistribution
    from dualib.parallel import TaskError, anneal_many, solve_many
    from dualib.results import Curve, Event, Solution, Status
    from dualib.scores import Comparison
    from dualib.solver import solve
    from dualib.storage import load
    from dualib.tables import read_table
    from dualib.targets import solve_at
    from dualib.warnings import CacheWarning, ConvergenceWarning, DualibWarning

__version__ = "0.1.0"

_HOME = {
    "JointDistribution": "joint",
    "Distortion": "distortions",
    "IB": "distortions",
    "DualIB": "distortions",
    "Bregman": "distortions",
    "Alpha": "distortions",
    "RateDistortion": "distortions",
    "ExponentialFamily": "exponential",
    "local_critical_beta": "distortions",
    "solve": "solver",
    "certify": "certificate",
    "Certificate": "certificate",
    "agglomerate": "clusters.agglomerate",
    "Tree": "clusters.agglomerate",
    "anneal": "annealing",
    "onset": "critical",
    "follow": "following",
    "CurvePoint": "interpolation",
    "solve_at": "targets",
    "solve_many": "parallel",
    "anneal_many": "parallel",
    "TaskError": "parallel",
    "compare_predictions": "comparison",
    "Comparison": "scores",
    "InformationBottleneck": "estimators",
    "DualInformationBottleneck": "estimators",
    "Solution": "results",
    "Curve": "results",
    "Event": "results",
    "Status": "results",
    "load": "storage",
    "compile_kernels": "jit",
    "read_table": "tables",
    "DualibWarning": "warnings",
    "ConvergenceWarning": "warnings",
    "CacheWarning": "warnings",
}
_MODULES = ("closed_forms", "datasets", "exponents", "information", "plotting")

__all__ = [
    "IB",
    "Alpha",
    "Bregman",
    "CacheWarning",
    "Certificate",
    "Comparison",
    "ConvergenceWarning",
    "Curve",
    "CurvePoint",
    "Distortion",
    "DualIB",
    "DualInformationBottleneck",
    "DualibWarning",
    "Event",
    "ExponentialFamily",
    "InformationBottleneck",
    "JointDistribution",
    "RateDistortion",
    "Solution",
    "Status",
    "TaskError",
    "Tree",
    "agglomerate",
    "anneal",
    "anneal_many",
    "certify",
    "closed_forms",
    "compare_predictions",
    "compile_kernels",
    "datasets",
    "exponents",
    "follow",
    "information",
    "load",
    "local_critical_beta",
    "onset",
    "read_table",
    "solve",
    "solve_at",
    "solve_many",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(f"dualib.{_HOME[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"dualib.{name}")
    else:
        raise AttributeError(f"module 'dualib' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES, "__version__"})
