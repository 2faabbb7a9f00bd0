"""Channels as such: the capacity of p(y|x), and how far apart two encoders of the same x are. Handed on by `dualib.information`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import rel_entr, xlogy

from dualib._validation import Array, Unit, as_distribution, as_probability_rows, in_unit, validate_positive
from dualib.encoders import encoder_rows
from dualib.warnings import warn_of_convergence

_MOST_STEPS = 100  # of Newton's method; ten are usual
_ABOVE = 1e-2  # the first level above the largest divergence, nats, so that all multipliers are positive
_SHORT = 0.995  # part of the way to the boundary that a step goes at most
_AS_ONE = 1e-14  # relative size of what is added to the diagonal, where rows that depend on each other make it singular


class ChannelCapacity(NamedTuple):
    """The capacity of a channel p(y|x).

    Attributes
    ----------
    capacity : float
        I(X;Y) at `px`, nats or bits; the capacity is at least this, and at most ``capacity + gap``.
    px : ndarray, shape (n_x,)
        The input distribution that attains it; exactly 0 where an x is of no use.
    gap : float
        ``max_x KL(p(.|x) || p(y)) - I(X;Y)``, in the same unit.

    Examples
    --------
    >>> from dualib.information import channel_capacity
    >>> channel_capacity([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])._fields
    ('capacity', 'px', 'gap')
    """

    capacity: float
    px: Array
    gap: float


def channel_capacity(py_x: npt.ArrayLike, *, tol: float = 1e-9, unit: Unit = "nats") -> ChannelCapacity:
    """``max over p(x) of I(X;Y)`` for given p(y|x), certified: for every p(x), ``I(X;Y) <= C <= max_x KL(p(.|x) || p(y))``.

    Parameters
    ----------
    py_x : array_like, shape (n_x, n_y)
        The channel, rows summing to 1.
    tol : float
        Wanted gap, nats.
    unit : "nats" or "bits"

    Returns
    -------
    ChannelCapacity
        Where several p(x) attain the capacity, one of them; equal rows share their probability evenly.

    Raises
    ------
    ValueError, TypeError
        Rows that are no distributions.

    Warns
    -----
    ConvergenceWarning
        `tol` was not reached; the gap is stated all the same.

    Notes
    -----
    The bound is that of Blahut (1972) and Arimoto (1972). Their iteration becomes arbitrarily slow where the capacity is attained on
    the boundary of the simplex; this is a primal-dual interior-point method (Mehrotra 1992), of some ten steps.

    Examples
    --------
    >>> import dualib
    >>> capacity, px, gap = dualib.information.channel_capacity([[1, 0], [0.5, 0.5], [0, 1]], unit="bits")
    >>> round(capacity, 9), px.round(9).tolist(), gap < 1e-9
    (1.0, [0.5, 0.0, 0.5], True)
    """
    rows = as_probability_rows("py_x", py_x)
    tol = validate_positive("tol", tol)
    in_unit(unit, 0.0)
    distinct, of, many = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
    used = np.ascontiguousarray(distinct[:, distinct.any(axis=0)])
    p, information, gap = _capacity(used, 0.1 * tol)
    if gap > tol:
        warn_of_convergence(f"channel_capacity: gap {gap:.1e} nats, tol {tol:g}; the capacity lies between it and the bound")
    px = (p / many)[of.ravel()]
    return ChannelCapacity(in_unit(unit, information), px / px.sum(), in_unit(unit, gap))


def gnid(u: npt.ArrayLike, v: npt.ArrayLike, px: npt.ArrayLike) -> float:
    """Generalised normalised information distance of two encoders, ``1 - I(U;V) / max(I(U;U'), I(V;V'))``.

    I(U;V) is of ``sum_x p(x) u(.|x) v(.|x)``, and U' an independent second draw of U given x (Zaslavsky, Kemp, Regier and Tishby
    2018). For hard clusters it is the normalised information distance of the two partitions.

    Parameters
    ----------
    u, v : array_like, shape (n_x, n_t), or of int, shape (n_x,)
        Encoders p(t|x), rows summing to 1, or the labels of hard clusters; their numbers of clusters may differ.
    px : array_like, shape (n_x,)
        p(x), summing to 1.

    Returns
    -------
    float
        0 for encoders that are the same but for their clusters' names, also where both have a single cluster; 1 where U says nothing
        of V. Below 0 for some soft encoders, which can tell more of each other than of a second draw of their own.

    Raises
    ------
    ValueError, TypeError
        Encoders or probabilities that are none, or are not of the same x.

    Examples
    --------
    >>> from dualib.information import gnid
    >>> round(gnid([0, 0, 1, 1], [0, 0, 1, 1], [0.25] * 4), 12), round(gnid([0, 0, 1, 1], [0, 1, 0, 1], [0.25] * 4), 12)
    (0.0, 1.0)
    """
    source = as_distribution("px", px)
    first, second = (encoder_rows(encoder, len(source), name=name) for name, encoder in (("u", u), ("v", v)))
    own = max(_between(source, first, first), _between(source, second, second))
    shared = _between(source, first, second)
    return 1.0 - shared / own if own > 0.0 else 0.0


def _between(px: Array, u: Array, v: Array) -> float:
    """I(U;V) of two encoders, drawn independently given x."""
    pairs = (px[:, None] * u).T @ v
    return max(0.0, float(rel_entr(pairs, np.outer(pairs.sum(axis=1), pairs.sum(axis=0))).sum()))


def _capacity(P: Array, tol: float) -> tuple[Array, float, float]:
    """The input p (n,), its information and its gap of a channel (n, m) of distinct rows and no empty column.

    With exact zeros where an x is of no use: what is found without these x is kept where it is optimal among all.
    """
    p, z = _interior(P, tol)
    information, gap = _judged(P, p)
    useful = p >= z
    if not useful.all():
        fewer = np.zeros(len(P))
        fewer[useful] = _interior(P[useful][:, P[useful].any(axis=0)], tol)[0]
        other, its_gap = _judged(P, fewer)
        if its_gap <= max(tol, gap):
            p, information, gap = fewer, other, its_gap
    return p, max(0.0, information), max(0.0, gap)


def _judged(P: Array, p: Array) -> tuple[float, float]:
    """``sum_x p_x D_x`` and ``max_x D_x`` less it, ``D_x = KL(P_x || p P)``."""
    q = p @ P
    if not (q > 0.0).all():
        return 0.0, np.inf
    D = xlogy(P, P).sum(axis=1) - P @ np.log(q)
    return float(p @ D), float(D.max() - p @ D)


def _interior(P: Array, tol: float) -> tuple[Array, Array]:
    """The input p (n,) > 0 whose gap is within `tol`, or the least that was reached, and the multipliers z of ``p >= 0``.

    Maximise ``sum_x p_x D_x``, whose gradient is D - 1, over the simplex. Optimal: ``D_x + z_x = l`` and ``p_x z_x = 0`` with
    z >= 0. Newton's method on these with ``p_x z_x = mu``, mu falling to 0.
    """
    own = xlogy(P, P).sum(axis=1)
    p = np.full(len(P), 1.0 / len(P))
    D = own - P @ np.log(p @ P)
    level = float(D.max()) + _ABOVE
    z = level - D
    best, least = (p, z), float(D.max() - p @ D)
    for _ in range(_MOST_STEPS):
        if least <= tol:
            break
        solved = _Newton(P, p, z, D - level + z)
        mu = float(p @ z) / len(p)
        ahead = solved.step(np.zeros(len(p)))
        reach = min(_reach(p, ahead[0]), _reach(z, ahead[1]))
        left = float((p + reach * ahead[0]) @ (z + reach * ahead[1])) / len(p)
        dp, dz, dl = solved.step((left / mu) ** 3 * mu - ahead[0] * ahead[1])
        reach = min(1.0, _SHORT * min(_reach(p, dp, np.inf), _reach(z, dz, np.inf)))
        p, z, level = p + reach * dp, z + reach * dz, level + reach * dl
        p /= p.sum()
        D = own - P @ np.log(p @ P)
        if D.max() - p @ D < least:
            best, least = (p, z), float(D.max() - p @ D)
    return best


class _Newton:
    """The equations of one Newton step: ``(P diag(1/q) P^T + diag(z/p)) dp + 1 dl = ...``, in the smaller of n and m numbers."""

    def __init__(self, P: Array, p: Array, z: Array, dual: Array) -> None:
        self.P, self.p, self.z, self.dual, self.d = P, p, z, dual, z / p
        q = p @ P
        self.small = P.shape[1] < len(P)
        if self.small:
            self.scaled = P / self.d[:, None]
            self.matrix = P.T @ self.scaled
            self.matrix[np.diag_indices(len(q))] += q
        else:
            self.matrix = (P / q) @ P.T
            self.matrix[np.diag_indices(len(p))] += self.d
        self.matrix[np.diag_indices(len(self.matrix))] *= 1.0 + _AS_ONE

    def step(self, product: Array) -> tuple[Array, Array, float]:
        """The change of p, z and l after which, to first order, ``p z`` is `product`."""
        missing = product - self.p * self.z
        both = self._solved(np.column_stack([self.dual + missing / self.p, np.ones(len(self.p))]))
        dl = float((both[:, 0].sum() - (1.0 - self.p.sum())) / both[:, 1].sum())
        dp = both[:, 0] - dl * both[:, 1]
        return dp, (missing - self.z * dp) / self.p, dl

    def _solved(self, right: Array) -> Array:
        if not self.small:
            return np.asarray(np.linalg.solve(self.matrix, right))
        return np.asarray(right / self.d[:, None] - self.scaled @ np.linalg.solve(self.matrix, self.scaled.T @ right))


def _reach(values: Array, change: Array, most: float = 1.0) -> float:
    """How many times the change can be added before a value is 0."""
    falling = change < 0.0
    return float((-values[falling] / change[falling]).min(initial=most))
