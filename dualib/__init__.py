"""dualib: the Information Bottleneck and the dual Information Bottleneck, solved to certified optimality.

Where to start, five calls:

>>> import dualib
>>> joint = dualib.JointDistribution.from_counts([[5, 3, 1], [1, 8, 2], [0, 1, 9]])  # rows are the x, columns the y
>>> solution = dualib.solve(joint, beta=4.0)  # clusters of x at one trade-off: .encoder, .decoder, .gap
>>> curve = dualib.anneal(joint, betas=[1, 2, 4, 8])  # the path over beta: .events, .onset; without betas it finds its own
>>> curve.save("curve.npz")  # doctest: +SKIP
>>> axes = curve.plot_information_plane()  # doctest: +SKIP

Further: `onset`, below which one cluster is optimal; `certify`, how far any encoder is from the optimum; `quantize`, K hard
clusters; `read_table` and `load` for files; `compare_predictions`, held-out scores; `cross_fit`,
how much of a curve is the sample's; `datasets`; `InformationBottleneck`, the
estimator for scikit-learn. "ib" and "dualib" name the two problems: ``dualib.solve(joint, 4.0, "dualib")``. Information is in nats.
``dualib --help`` in a shell.

Modules that are not named here are internal. Every public name is loaded at its first use, so that ``import dualib`` costs next to
nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dualib._lazy import lazy

if TYPE_CHECKING:
    from dualib import closed_forms, datasets, exponents, information
    from dualib.clusters.agglomerate import Tree, agglomerate
    from dualib.clusters.quantize import quantize
    from dualib.data.labelled import CountTable
    from dualib.data.tables import read_table
    from dualib.distortions.bottlenecks import IB, DualIB
    from dualib.distortions.divergences import Alpha, Bregman
    from dualib.distortions.exponential import ExponentialFamily
    from dualib.distortions.interface import Distortion
    from dualib.distortions.matrices import RateDistortion
    from dualib.engine.loading import compile_kernels
    from dualib.joint import JointDistribution
    from dualib.many.parallel import TaskError, anneal_many, solve_many
    from dualib.path.anneal import anneal
    from dualib.path.following import follow
    from dualib.path.onset import local_critical_beta, onset
    from dualib.path.targets import solve_at
    from dualib.predict.comparison import compare_predictions
    from dualib.predict.cross_fit import cross_fit
    from dualib.predict.cross_fit_result import CrossFit
    from dualib.predict.estimators import DualInformationBottleneck, InformationBottleneck
    from dualib.predict.scores import Comparison
    from dualib.results.curve import Curve
    from dualib.results.event import Event
    from dualib.results.interpolation import CurvePoint
    from dualib.results.solution import Solution
    from dualib.results.status import Status
    from dualib.results.storage import load
    from dualib.solving.certificate import Certificate, certify
    from dualib.solving.solver import solve
    from dualib.warnings import CacheWarning, ConvergenceWarning, DualibWarning

__version__ = "0.2.0"

__all__ = [
    "IB",
    "Alpha",
    "Bregman",
    "CacheWarning",
    "Certificate",
    "Comparison",
    "ConvergenceWarning",
    "CountTable",
    "CrossFit",
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
    "cross_fit",
    "datasets",
    "exponents",
    "follow",
    "information",
    "load",
    "local_critical_beta",
    "onset",
    "quantize",
    "read_table",
    "solve",
    "solve_at",
    "solve_many",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "joint": "JointDistribution",
        "distortions.interface": "Distortion",
        "distortions.bottlenecks": "IB DualIB",
        "distortions.divergences": "Bregman Alpha",
        "distortions.matrices": "RateDistortion",
        "distortions.exponential": "ExponentialFamily",
        "path.onset": "local_critical_beta onset",
        "solving.solver": "solve",
        "solving.certificate": "certify Certificate",
        "clusters.agglomerate": "agglomerate Tree",
        "clusters.quantize": "quantize",
        "path.anneal": "anneal",
        "path.following": "follow",
        "results.interpolation": "CurvePoint",
        "path.targets": "solve_at",
        "many.parallel": "solve_many anneal_many TaskError",
        "predict.comparison": "compare_predictions",
        "predict.scores": "Comparison",
        "predict.cross_fit": "cross_fit",
        "predict.cross_fit_result": "CrossFit",
        "predict.estimators": "InformationBottleneck DualInformationBottleneck",
        "results.solution": "Solution",
        "results.curve": "Curve",
        "results.event": "Event",
        "results.status": "Status",
        "results.storage": "load",
        "engine.loading": "compile_kernels",
        "data.tables": "read_table",
        "data.labelled": "CountTable",
        "warnings": "DualibWarning ConvergenceWarning CacheWarning",
    },
    modules=("closed_forms", "datasets", "exponents", "information", "networks", "plotting", "sharded"),
    others=("__version__",),
)
