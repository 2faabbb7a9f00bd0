"""All distortions on one small table that is not square, with a source of probability 0, twin sources, and zeros of p(y|x)."""

import numpy as np

from dualib import JointDistribution
from dualib.distortions.bottlenecks import IB, DualIB
from dualib.distortions.divergences import Alpha, Bregman
from dualib.distortions.exponential import ExponentialFamily
from dualib.distortions.interface import Distortion
from dualib.distortions.matrices import RateDistortion

N_X, N_Y = 7, 5


class Itakura(Distortion):
    """A distortion of somebody's own, with no more than the four methods: Bregman of -sum log p, shifted off the boundary."""

    name = "itakura"
    _shift = 0.1

    def lift(self, py_x):
        return py_x, -np.log(py_x + self._shift).sum(axis=1)

    def link(self, means, face=None):
        v = -1.0 / (means + self._shift)
        return v, (v * means).sum(axis=1) + np.log(means + self._shift).sum(axis=1)

    def decoder(self, means, face=None):
        return means / means.sum(axis=1, keepdims=True)

    def link_jacobian(self, means, face=None):
        out = np.zeros((*means.shape, means.shape[1]))
        out[:, range(means.shape[1]), range(means.shape[1])] = (means + self._shift) ** -2.0
        return out


def table(seed, zeros=0.0):
    """Conditionals (7, 5), the last two rows alike, and p(x) with a zero."""
    rng = np.random.default_rng(seed)
    py_x = rng.dirichlet(np.ones(N_Y), N_X)
    if zeros:
        py_x[rng.random((N_X, N_Y)) < zeros] = 0.0
        py_x[py_x.sum(axis=1) == 0.0, 0] = 1.0
        py_x /= py_x.sum(axis=1, keepdims=True)
    py_x[-1] = py_x[-2]
    px = rng.dirichlet(np.full(N_X, 2.0))
    px[2] = 0.0
    return px / px.sum(), py_x


def family(seed):
    rng = np.random.default_rng(seed)
    return ExponentialFamily(rng.normal(size=(N_X, 2)), rng.normal(size=(2, N_Y)))


def cases():
    """(name, joint distribution, distortion), for pytest."""
    found = []
    for zeros in (0.0, 0.35):
        px, py_x = table(3, zeros)
        joint = JointDistribution.from_conditionals(py_x, px)
        distances = RateDistortion(np.random.default_rng(5).random((N_X, 4)))
        for distortion in (IB(), DualIB(), Alpha(0.3), Bregman.squared_euclidean(), Itakura(), distances):
            found.append((f"{distortion.name}{', zeros' if zeros else ''}", joint, distortion))
    exponential = family(4)
    found.append(("dualexpib", exponential.joint(px), exponential))
    return found
