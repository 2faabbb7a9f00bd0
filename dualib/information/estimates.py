"""Entropy and mutual information from counts: estimators less biased than the plug-in value.

All of them are handed on by `dualib.information`. A mutual information is ``H(X) + H(Y) - H(X,Y)``, each entropy by the same
estimator, so it may come out below 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import betaln, digamma, gammaln, polygamma

from dualib._validation import Array, Unit, as_non_negative, as_non_negative_csr, in_unit, is_sparse, shown, validate_integer

_LARGEST_TOTAL = 2.0**53  # counts beyond are no whole numbers of a float


def entropy_miller_madow(counts: npt.ArrayLike, *, unit: Unit = "nats") -> float:
    """Entropy of the empirical distribution of counts (n,), plus (m - 1) / (2 N), m the number of states seen (Miller 1955).

    Examples
    --------
    >>> from dualib.information import entropy, entropy_miller_madow
    >>> round(entropy_miller_madow([5, 3, 2]) - entropy([0.5, 0.3, 0.2]), 12)  # (3 - 1) / (2 * 10)
    0.1
    """
    return in_unit(unit, _miller_madow(as_non_negative("counts", counts, 1), 0))


def mutual_information_miller_madow(counts: Any, *, unit: Unit = "nats") -> float:
    """I = H(X) + H(Y) - H(X,Y), each entropy with its Miller-Madow correction, from counts (n_x, n_y), dense or scipy.sparse.

    The plug-in value is biased upward by about (cells seen - rows seen - columns seen + 1) / (2 N), which this subtracts; it may
    come out below 0.

    Examples
    --------
    >>> from dualib.information import mutual_information, mutual_information_miller_madow
    >>> counts = [[4, 1, 2], [1, 5, 3], [2, 2, 4]]
    >>> round(mutual_information(counts), 6), round(mutual_information_miller_madow(counts), 6)
    (0.116738, 0.033404)
    """
    return in_unit(unit, _information(_miller_madow, counts, whole=False))


def entropy_grassberger(counts: npt.ArrayLike, *, unit: Unit = "nats") -> float:
    """``H = log N - sum_i n_i G(n_i) / N`` of whole counts (n,), ``G(n) = psi(n) + (-1)^n (psi((n+1)/2) - psi(n/2)) / 2``.

    Grassberger (2003), *Entropy estimates from insufficient samplings*, equations 28 to 32: ``G(1) = -gamma - log 2``,
    ``G(2) = 2 - gamma - log 2``, ``G(2k+1) = G(2k)``, ``G(2k+2) = G(2k) + 2/(2k+1)``.

    Raises
    ------
    ValueError, TypeError
        Counts that are negative, not whole or all zero.

    Examples
    --------
    >>> from dualib.information import entropy_grassberger
    >>> round(entropy_grassberger([5, 3, 1, 1]), 6)
    1.639615
    """
    return in_unit(unit, _grassberger(_whole(as_non_negative("counts", counts, 1)), 0))


def mutual_information_grassberger(counts: Any, *, unit: Unit = "nats") -> float:
    """I(X;Y) of whole counts (n_x, n_y), dense or scipy.sparse, by `entropy_grassberger` of rows, columns and cells.

    Examples
    --------
    >>> from dualib.information import mutual_information_grassberger
    >>> round(mutual_information_grassberger([[14, 1, 2], [1, 15, 3]]), 6)
    0.379101
    """
    return in_unit(unit, _information(_grassberger, counts))


def entropy_chao_shen(counts: npt.ArrayLike, *, unit: Unit = "nats") -> float:
    """``H = - sum_i C p_i log(C p_i) / (1 - (1 - C p_i)^N)`` of whole counts (n,), ``C = 1 - f_1/N`` the coverage (Chao, Shen 2003).

    ``p_i = n_i / N``, and f_1 is the number of states seen once; where all were, one of them is taken as seen again, f_1 = N - 1.

    Raises
    ------
    ValueError, TypeError
        Counts that are negative, not whole or all zero.

    Examples
    --------
    >>> from dualib.information import entropy_chao_shen
    >>> round(entropy_chao_shen([5, 3, 1, 1]), 6)
    1.449263
    """
    return in_unit(unit, _chao_shen(_whole(as_non_negative("counts", counts, 1)), 0))


def mutual_information_chao_shen(counts: Any, *, unit: Unit = "nats") -> float:
    """I(X;Y) of whole counts (n_x, n_y), dense or scipy.sparse, by `entropy_chao_shen` of rows, columns and cells.

    Examples
    --------
    >>> from dualib.information import mutual_information_chao_shen
    >>> round(mutual_information_chao_shen([[14, 1, 2], [1, 15, 3]]), 6)
    0.255531
    """
    return in_unit(unit, _information(_chao_shen, counts))


def entropy_nsb(counts: npt.ArrayLike, *, n_states: int | None = None, unit: Unit = "nats") -> float:
    """The posterior mean of the entropy under a prior that is nearly uniform in it (Nemenman, Shafee and Bialek 2002).

    A mixture of symmetric Dirichlet priors of concentration b over K states, weighted so that the expected entropy
    ``psi(K b + 1) - psi(b + 1)`` is uniform a priori; b is integrated out numerically, to about 1e-10 nats.

    Parameters
    ----------
    counts : array_like of whole numbers, shape (n,)
    n_states : int, optional
        K, the number of states there are, seen or not; by default n, the states of no count included.
    unit : "nats" or "bits"

    Raises
    ------
    ValueError, TypeError
        Counts that are negative, not whole or all zero; `n_states` below their number.

    Examples
    --------
    >>> from dualib.information import entropy_nsb
    >>> round(entropy_nsb([5, 3, 1, 1]), 4)
    1.2173
    """
    values = _whole(as_non_negative("counts", counts, 1))
    states = len(values) if n_states is None else validate_integer("n_states", n_states, len(values))
    return in_unit(unit, _nsb(values, states))


def mutual_information_nsb(counts: Any, *, unit: Unit = "nats") -> float:
    """I(X;Y) of whole counts (n_x, n_y), dense or scipy.sparse, by `entropy_nsb` of n_x rows, n_y columns and n_x n_y cells.

    Rows and columns of zeros are states too. Of tables with many more cells than observations it is the least biased of the
    estimates here, though no longer unbiased: ``docs/explanation/samples.md`` compares them.

    Examples
    --------
    >>> from dualib.information import mutual_information, mutual_information_nsb
    >>> counts = [[14, 1, 2], [1, 15, 3]]
    >>> round(mutual_information(counts), 4), round(mutual_information_nsb(counts), 4)
    (0.3922, 0.3259)
    """
    return in_unit(unit, _information(_nsb, counts))


def _information(estimator: Callable[[Array, int], float], counts: Any, *, whole: bool = True) -> float:
    """H(X) + H(Y) - H(X,Y) of a table, nats; the estimator takes the counts, and how many states there are."""
    if is_sparse(counts):
        table = as_non_negative_csr("counts", counts)
        cells: Array = table.data
    else:
        table = as_non_negative("counts", counts, 2)
        cells = table.ravel()
    if whole:
        _whole(cells)
    n_x, n_y = table.shape
    rows, columns = (np.asarray(table.sum(axis=axis), dtype=np.float64).ravel() for axis in (1, 0))
    return estimator(rows, n_x) + estimator(columns, n_y) - estimator(cells, n_x * n_y)


def _miller_madow(counts: Array, states: int) -> float:
    n = counts[counts > 0.0]
    total = n.sum()
    p = n / total
    return max(0.0, float(-np.sum(p * np.log(p)))) + (len(n) - 1) / (2.0 * float(total))


def _grassberger(counts: Array, states: int) -> float:
    n, often = _seen(counts)
    total = float(n @ often)
    sign = 1.0 - 2.0 * (n % 2.0)
    G = digamma(n) + 0.5 * sign * (digamma(0.5 * (n + 1.0)) - digamma(0.5 * n))
    return float(np.log(total) - (often * n) @ G / total)


def _chao_shen(counts: Array, states: int) -> float:
    n, often = _seen(counts)
    total = float(n @ often)
    singles = float(often[n == 1.0].sum())
    if singles == total:
        singles -= 1.0
    if total == 1.0:
        return 0.0  # a single observation
    p = (1.0 - singles / total) * n / total
    seen = -np.expm1(total * np.log1p(-np.minimum(p, 1.0 - 1e-16)))  # the probability that a state is in the sample at all
    return max(0.0, float(-(often @ (p * np.log(p) / seen))))


# -- Nemenman, Shafee and Bialek ----------------------------------------------------------------------------------------

_WIDEST = (-60.0, 45.0)  # log b, beyond which the prior leaves less than 1e-19
_COARSE, _FINE = 422, 1024  # points that find where the posterior of log b is, and that integrate it
_NOTHING = 45.0  # of its logarithm below the top: exp(-45) is 3e-20
_ASYMPTOTIC = (
    1e4  # b from which the density of the prior is taken by its series: the difference of trigammas has lost its digits
)


def _nsb(counts: Array, states: int) -> float:
    """By the trapezoidal rule in log b, which converges geometrically: the integrand is smooth and vanishes at both ends."""
    if states == 1:
        return 0.0
    n, often = _seen(counts)
    coarse = np.linspace(*_WIDEST, _COARSE)
    for _ in range(3):  # a sharp posterior lies between the points of the first grid
        height = _log_posterior(coarse, n, often, states)
        near = np.flatnonzero(height > height.max() - _NOTHING)
        step = coarse[1] - coarse[0]
        coarse = np.linspace(coarse[near[0]] - step, coarse[near[-1]] + step, _COARSE)
    logs = np.linspace(coarse[0], coarse[-1], _FINE)
    height = _log_posterior(logs, n, often, states)
    weights = np.exp(height - height.max())
    return max(0.0, float(weights @ _expected_entropy(np.exp(logs), n, often, states) / weights.sum()))


def _log_posterior(logs: Array, n: Array, often: Array, states: int) -> Array:
    """The log density of log b given the counts, but for a constant."""
    b, total = np.exp(logs), float(n @ often)
    # prod_i Gamma(b + n_i) / Gamma(b) times Gamma(K b) / Gamma(K b + N), as beta functions: the gammas alone would cancel
    evidence = (gammaln(n) - betaln(b[:, None], n)) @ often + betaln(states * b, total)
    return np.asarray(logs + np.log(_prior(b, states)) + evidence)


def _prior(b: Array, states: int) -> Array:
    """The density of b under which the expected entropy is uniform: ``K psi_1(K b + 1) - psi_1(b + 1)``."""
    small = np.minimum(b, _ASYMPTOTIC)
    exact = states * polygamma(1, states * small + 1.0) - polygamma(1, small + 1.0)
    series = (1.0 - 1.0 / states) / (2.0 * b * b) - (1.0 - 1.0 / states**2) / (6.0 * b**3)
    return np.asarray(np.where(b < _ASYMPTOTIC, exact, series))


def _expected_entropy(b: Array, n: Array, often: Array, states: int) -> Array:
    """The posterior mean of the entropy for each b."""
    whole = float(n @ often) + states * b
    seen = ((n + b[:, None]) * digamma(n + b[:, None] + 1.0)) @ often
    unseen = (states - often.sum()) * b * digamma(b + 1.0)
    return np.asarray(digamma(whole + 1.0) - (seen + unseen) / whole)


def _seen(counts: Array) -> tuple[Array, Array]:
    """The counts above 0 that there are, and how often each."""
    n, often = np.unique(counts[counts > 0.0], return_counts=True)
    return n, often.astype(np.float64)


def _whole(counts: Array) -> Array:
    """Refuse counts that are not whole numbers."""
    broken = counts[counts != np.rint(counts)]
    with np.errstate(over="ignore"):
        too_many = counts.sum() > _LARGEST_TOTAL
    if len(broken) or too_many:
        raise ValueError(f"counts must be whole numbers, got {shown(broken[0] if len(broken) else counts.max())}")
    return counts
