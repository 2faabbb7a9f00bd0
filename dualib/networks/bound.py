"""The certified IB curve of the data that a network learns: what any representation of a given rate can keep of y."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dualib._validation import Array
from dualib.joint import JointDistribution

if TYPE_CHECKING:
    from dualib.results.curve import Curve

# dense next to 1, where the curve leaves the line relevance = rate, and up to where nearly all relevance is kept
BETAS = 1.0 + np.geomspace(1e-3, 1e3, 121)
_SAME_INFORMATION = 1e-9  # nats by which I(X;Y) of a curve may differ from that of the data


@dataclass(frozen=True)
class Bound:
    """The data, and its curve once it is asked for.

    Attributes
    ----------
    joint : JointDistribution
        Of the classes of x with equal p(y|x), which have the same curve as the x themselves.
    given : Curve, optional
        A certified IB curve that somebody has computed already.
    """

    joint: JointDistribution
    given: Curve | None = None

    @classmethod
    def of(cls, py_x: Array, curve: Curve | None = None) -> Bound:
        """Of equally likely x with these p(y|x), (n, n_y).

        Raises
        ------
        TypeError, ValueError
            A curve that is none, of another distortion, or of data with another I(X;Y).
        """
        rows, counts = np.unique(py_x, axis=0, return_counts=True)
        bound = cls(JointDistribution.from_conditionals(rows, counts / counts.sum()), curve)
        if curve is not None:
            bound.check(curve)
        return bound

    def check(self, curve: Curve) -> None:
        """That this is a certified IB curve of the same data, as far as I(X;Y) tells."""
        from dualib.results.curve import Curve

        if not isinstance(curve, Curve):
            raise TypeError(f"curve must be a Curve, as dualib.anneal returns it, got {type(curve).__name__}")
        if curve.distortion.name != "ib":
            raise ValueError(f"curve must be of the distortion 'ib', whose curve is the bound, got {curve.distortion.name!r}")
        theirs, ours = curve.joint.mutual_information, self.joint.mutual_information
        if abs(theirs - ours) > _SAME_INFORMATION:
            raise ValueError(f"curve must be of the same p(x, y): its I(X;Y) is {theirs!r} nats, that of the data {ours!r}")

    @functools.cached_property
    def curve(self) -> Curve:
        """The certified curve; solved at its first use, on `BETAS`."""
        from dualib.path.anneal import anneal

        return anneal(self.joint, "ib", BETAS, events=False) if self.given is None else self.given

    def relevance(self, rate: Array) -> Array:
        """The most relevance that any representation of so much rate keeps, nats; an upper bound, certified as the curve is.

        At every beta of the curve ``rate + beta E d >= F(beta)``, F certified from below, and the relevance is I(X;Y) - E d;
        at beta = 1, F is I(X;Y) and the bound is the rate itself; and no relevance exceeds I(X;Y).
        """
        most = self.joint.mutual_information
        lines = most - (self.curve.lower_bound - np.asarray(rate)[..., None]) / self.curve.beta
        return np.minimum(np.minimum(rate, most), lines.min(axis=-1))
