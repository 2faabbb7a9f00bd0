"""The 4096 patterns of twelve bits on which information planes of networks were first drawn, rebuilt from a rule.

The bits are the vertices of an icosahedron. The label depends on four counts that rotations leave alone: k active bits, and
how many pairs of active bits are adjacent (a), antipodal (c) or neither (b). There are 64 classes of equal counts.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from dualib._validation import Array, IntArray

N_BITS = 12
EDGES = (
    *((0, 2), (0, 4), (3, 4), (1, 5), (3, 5), (4, 5), (0, 6), (1, 6), (2, 6), (0, 7)),
    *((2, 7), (3, 7), (4, 7), (0, 8), (1, 8), (4, 8), (5, 8), (6, 8), (1, 9), (3, 9)),
    *((5, 9), (1, 10), (2, 10), (6, 10), (9, 10), (2, 11), (3, 11), (7, 11), (9, 11), (10, 11)),
)
ANTIPODES = ((2, 5), (3, 6), (1, 7), (0, 9), (4, 10), (8, 11))

# (adjacent, antipodal) active pairs for which the label is 1 (five and six active bits) or 0 (seven)
_ONES_OF_FIVE = ((3, 0),)
_ONES_OF_SIX = ((5, 0), (5, 1), (6, 0), (6, 1), (6, 2), (7, 1), (9, 0))
_ZEROS_OF_SEVEN = ((11, 2),)

# p(y=1|x) = sigma(STEEPNESS (f - THRESHOLD)), f a weighted sum of the square roots of three powers of the pattern on the sphere
_STEEPNESS, _THRESHOLD = 12.0, 5.89
_POWER_WEIGHTS = {0: 2.0 * np.pi / 3.0, 2: 4.0 * np.pi / 15.0, 3: 1.1425862}


class Bits(NamedTuple):
    """All patterns X (4096, 12) of zeros and ones, most significant bit first, and their labels y (4096,)."""

    X: Array
    y: IntArray


class SoftBits(NamedTuple):
    """All patterns X (4096, 12) of zeros and ones, most significant bit first, and p(y|x) (4096, 2)."""

    X: Array
    py_x: Array


def bits() -> Bits:
    """All 4096 patterns of twelve bits, with a label that is a function of them.

    Returns
    -------
    Bits
        A named tuple: X (4096, 12), y (4096,). 2118 labels are 1, so that H(Y) = 0.999157 bits and, y being a function of x,
        the IB curve is ``min(rate, H(Y))`` exactly.

    Notes
    -----
    The data set of Shwartz-Ziv and Tishby (2017), *Opening the black box of deep neural networks via information*, rebuilt
    from its symmetry (see the module).

    Examples
    --------
    >>> from dualib import networks
    >>> X, y = networks.datasets.bits()
    >>> X.shape, int(y.sum())
    ((4096, 12), 2118)
    """
    X = _patterns()
    k, adjacent, _, antipodal = counts(X).T
    y = (k >= 7).astype(np.int64)
    for number, pairs, label in ((5, _ONES_OF_FIVE, 1), (6, _ONES_OF_SIX, 1), (7, _ZEROS_OF_SEVEN, 0)):
        for a, c in pairs:
            y[(k == number) & (adjacent == a) & (antipodal == c)] = label
    return Bits(X, y)


def soft_bits() -> SoftBits:
    """All 4096 patterns of twelve bits, with a stochastic rule: p(y|x) is smooth in the powers of the pattern on the sphere.

    Returns
    -------
    SoftBits
        A named tuple: X (4096, 12), py_x (4096, 2). Only 64 rows of p(y|x) differ, one for each class of equal counts.

    Notes
    -----
    ``p(y=1|x) = sigma(12 (f - 5.89))``, ``f = (2 pi / 3) sqrt(P_0) + (4 pi / 15) sqrt(P_2) + 1.1425862 sqrt(P_3)``, with P_l
    the power of the active vertices in spherical harmonics of degree l, ``(2l + 1)/(4 pi) sum_ij L_l(cos(i, j))``, L_l the
    Legendre polynomial.
    """
    X = _patterns()
    k, adjacent, other, antipodal = counts(X).T.astype(np.float64)
    f = np.zeros(len(X))
    for degree, weight in _POWER_WEIGHTS.items():
        legendre = np.polynomial.legendre.Legendre.basis(degree)
        near, far, opposite = legendre(np.array([1.0 / np.sqrt(5.0), -1.0 / np.sqrt(5.0), -1.0]))
        power = (2 * degree + 1) / (4.0 * np.pi) * (k + 2.0 * (adjacent * near + other * far + antipodal * opposite))
        f += weight * np.sqrt(np.maximum(power, 0.0))  # a power that vanishes may come out as -1e-16
    logit = _STEEPNESS * (f - _THRESHOLD)
    return SoftBits(X, np.stack([1.0 / (1.0 + np.exp(logit)), 1.0 / (1.0 + np.exp(-logit))], axis=1))


def counts(X: Array) -> IntArray:
    """Active bits k, and pairs of them that are adjacent, neither, antipodal, of patterns (n, 12) of zeros and ones: (n, 4)."""
    active = np.asarray(X) > 0.5
    k = active.sum(axis=1)
    adjacent, antipodal = (
        sum((active[:, i] & active[:, j]).astype(np.int64) for i, j in pairs) for pairs in (EDGES, ANTIPODES)
    )
    return np.stack([k, adjacent, k * (k - 1) // 2 - adjacent - antipodal, antipodal], axis=1)


def _patterns() -> Array:
    return np.array(list(itertools.product((0.0, 1.0), repeat=N_BITS)))
