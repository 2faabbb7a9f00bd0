"""From a name or a saved configuration to a distortion."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

from dualib._validation import shown
from dualib.distortions.bottlenecks import IB, DualIB
from dualib.distortions.divergences import Alpha, Bregman
from dualib.distortions.interface import METHODS, Distortion
from dualib.distortions.matrices import RateDistortion


def as_distortion(distortion: object) -> Distortion:
    """The distortion named ("ib", "dualib"), or the object itself when it has the four methods.

    Raises
    ------
    ValueError
        An unknown name.
    TypeError
        An object without the methods; the message names exactly those that are missing.
    """
    if isinstance(distortion, str):
        known: dict[str, type[Distortion]] = {"ib": IB, "dualib": DualIB}
        if distortion not in known:
            raise ValueError(f"distortion must be 'ib', 'dualib' or a Distortion, got {shown(distortion)}")
        return known[distortion]()
    if isinstance(distortion, type):
        raise TypeError(f"distortion must be an instance, got the class {distortion.__name__}: write {distortion.__name__}()")
    if isinstance(distortion, (numbers.Number, list, tuple, range, np.ndarray, np.generic)):
        raise TypeError(
            f"distortion must be 'ib', 'dualib' or a Distortion, got {shown(distortion)}: trade-offs are given as beta= (solve) or "
            "betas= (anneal)"
        )
    missing = [method for method in METHODS if not callable(getattr(distortion, method, None))]
    if missing:
        raise TypeError(f"distortion {shown(distortion)} lacks the method(s) {', '.join(missing)}; see dualib.Distortion")
    if not isinstance(distortion, Distortion):
        raise TypeError(
            f"distortion {shown(distortion)} has the methods but is no subclass of dualib.Distortion: derive it from it"
        )
    return distortion


def from_config(config: dict[str, Any]) -> Distortion:
    """Build a distortion again from `Distortion.to_config`.

    Raises
    ------
    ValueError
        The configuration names no distortion of this package.
    """
    name = config.get("name")
    if name in ("ib", "dualib"):
        return as_distortion(name)
    if name == "alpha":
        return Alpha(config["alpha"])
    if name == "rate-distortion":
        return RateDistortion(config["matrix"])
    if name == "dualexpib":
        from dualib.distortions.exponential import ExponentialFamily

        return ExponentialFamily.from_config(config)
    if name == "bregman" and config.get("label") == "squared-euclidean":
        return Bregman.squared_euclidean()
    raise ValueError(f"no distortion named {name!r} can be loaded")
