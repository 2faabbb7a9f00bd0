"""Entropies, divergences and mutual information of distributions.

Natural logarithms (nats) unless ``unit="bits"``; ``0 log 0 = 0``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dualib._validation import (
    Array,
    Unit,
    as_distribution,
    as_non_negative,
    as_non_negative_csr,
    in_unit,
    is_real,
    is_sparse,
    random_generator,
    shown,
)

_BLOCK = 65_536  # cells of a table at a time


def entropy(p: npt.ArrayLike, *, unit: Unit = "nats") -> float:
    """H(p) = - sum p log p of a distribution (n,).

    Examples
    --------
    >>> import dualib.information as information
    >>> round(information.entropy([0.5, 0.25, 0.25], unit="bits"), 12)
    1.5
    """
    return in_unit(unit, entropy_of(as_distribution("p", p)))


def conditional_entropy(pxy: npt.ArrayLike, *, unit: Unit = "nats") -> float:
    """H(Y|X) = H(X,Y) - H(X) of a joint distribution (n_x, n_y).

    Examples
    --------
    >>> from dualib.information import conditional_entropy
    >>> round(conditional_entropy([[0.5, 0.0], [0.25, 0.25]], unit="bits"), 12)  # y is open in half of all cases
    0.5
    """
    joint = _joint("pxy", pxy)
    return in_unit(unit, max(0.0, entropy_of(joint.ravel()) - entropy_of(joint.sum(axis=1))))


def kl_divergence(p: npt.ArrayLike, q: npt.ArrayLike, *, unit: Unit = "nats") -> float:
    """KL(p || q) = sum p log(p / q) of two distributions (n,); inf where p > 0 = q.

    Examples
    --------
    >>> from dualib.information import kl_divergence
    >>> round(kl_divergence([1.0, 0.0], [0.5, 0.5], unit="bits"), 12), kl_divergence([0.5, 0.5], [1.0, 0.0])
    (1.0, inf)
    """
    first = as_distribution("p", p)
    second = as_distribution("q", q, len(first))
    if (second[first > 0.0] == 0.0).any():
        return in_unit(unit, np.inf)
    live = first > 0.0
    return in_unit(unit, max(0.0, float(np.sum(first[live] * (np.log(first[live]) - np.log(second[live]))))))


def mutual_information(pxy: Any, *, unit: Unit = "nats") -> float:
    """I(X;Y) = sum p(x,y) log( p(x,y) / (p(x) p(y)) ) of a table (n_x, n_y) of probabilities or counts, dense or scipy.sparse.

    Examples
    --------
    >>> from dualib.information import mutual_information
    >>> round(mutual_information([[5, 0], [0, 5]], unit="bits"), 12)
    1.0
    """
    if is_sparse(pxy):
        csr = as_non_negative_csr("pxy", pxy)
        csr.data /= csr.data.max()
        csr.data /= csr.data.sum()
        return in_unit(unit, sparse_mutual_information(csr))
    return in_unit(unit, mutual_information_of(_joint("pxy", pxy)))


def mutual_information_of(joint: Array, weights: Array | None = None) -> float:
    """I(X;Y), nats, of a joint distribution (n_x, n_y) that is known to be one, or of conditionals p(y|x) with the weights p(x)."""
    total, some = 0.0, max(1, _BLOCK // joint.shape[1])  # rows at a time: the table may be large
    shares = np.ones(len(joint)) if weights is None else weights
    with np.errstate(divide="ignore", invalid="ignore"):
        log_rows, log_columns = np.log(joint.sum(axis=1, keepdims=True)), np.log(np.einsum("x,xy->y", shares, joint))
        for first in range(0, len(joint), some):
            part = joint[first : first + some]
            terms = np.log(part)
            terms -= log_rows[first : first + some]
            terms -= log_columns
            terms *= part
            terms[~(part > 0.0)] = 0.0
            total += float(np.sum(shares[first : first + some] * terms.sum(axis=1)))
    return max(0.0, total)


def sparse_mutual_information(csr: Any) -> float:
    """I(X;Y), nats, of a CSR array that sums to 1: block by block, so that nothing of its size is made."""
    with np.errstate(divide="ignore"):  # empty rows and columns are never looked up
        log_px, log_py = (np.log(np.asarray(csr.sum(axis=axis)).ravel()) for axis in (1, 0))
    total = 0.0
    for begin in range(0, csr.nnz, _BLOCK):
        cells = slice(begin, begin + _BLOCK)
        values = csr.data[cells]
        # row x holds the cells indptr[x] <= cell < indptr[x + 1]
        rows = np.searchsorted(csr.indptr, np.arange(begin, begin + len(values)), side="right") - 1
        live = values > 0.0  # a product of probabilities may have underflown
        logs = np.log(values[live]) - log_px[rows[live]] - log_py[csr.indices[cells][live]]
        total += float(np.sum(values[live] * logs))
    return max(0.0, total)


def jensen_shannon(p: npt.ArrayLike, q: npt.ArrayLike, weights: npt.ArrayLike | None = None, *, unit: Unit = "nats") -> float:
    """Jensen-Shannon divergence, H(w1 p + w2 q) - w1 H(p) - w2 H(q); weights (2,), by default one half each.

    Examples
    --------
    >>> from dualib.information import jensen_shannon
    >>> round(jensen_shannon([1.0, 0.0], [0.0, 1.0], unit="bits"), 12)
    1.0
    """
    first = as_distribution("p", p)
    second = as_distribution("q", q, len(first))
    w = np.array([0.5, 0.5]) if weights is None else as_distribution("weights", weights, 2)
    mixed = entropy_of(w[0] * first + w[1] * second)
    return in_unit(unit, max(0.0, mixed - w[0] * entropy_of(first) - w[1] * entropy_of(second)))


def chernoff_coefficient(p: npt.ArrayLike, q: npt.ArrayLike, exponent: float = 0.5) -> float:
    """sum_y p^a q^(1-a) for an exponent a in [0, 1] (Chernoff 1952); 0^0 = 0 here, so only common support counts.

    Examples
    --------
    >>> from dualib.information import chernoff_coefficient
    >>> round(chernoff_coefficient([0.9, 0.1], [0.1, 0.9]), 12)  # 2 sqrt(0.09)
    0.6
    """
    first = as_distribution("p", p)
    second = as_distribution("q", q, len(first))
    if not is_real(exponent) or not 0.0 <= exponent <= 1.0:
        raise ValueError(f"exponent must be between 0 and 1, got {shown(exponent)}")
    return float(np.exp(-_chernoff(first, second, float(exponent))))


def chernoff_information(
    p: npt.ArrayLike, q: npt.ArrayLike, *, unit: Unit = "nats", return_exponent: bool = False
) -> float | tuple[float, float]:
    """C(p, q) = - min over a in [0, 1] of log sum_y p^a q^(1-a): the best exponent of the error of telling p from q.

    Parameters
    ----------
    p, q : array_like, shape (n,)
    unit : "nats" or "bits"
    return_exponent : bool
        Also return the minimising a.

    Returns
    -------
    float, or (float, float)
        inf for disjoint supports (with a = 0.5 by convention).

    Notes
    -----
    Chernoff (1952); Cover and Thomas, Elements of Information Theory, section 11.9.

    Examples
    --------
    >>> from dualib.information import chernoff_information
    >>> round(chernoff_information([0.9, 0.1], [0.1, 0.9]), 9)  # -log(0.6)
    0.510825624
    """
    from scipy.optimize import minimize_scalar

    first = as_distribution("p", p)
    second = as_distribution("q", q, len(first))
    if not ((first > 0.0) & (second > 0.0)).any():
        value, best = np.inf, 0.5
    else:
        found = minimize_scalar(
            lambda a: -_chernoff(first, second, a), bounds=(0.0, 1.0), method="bounded", options={"xatol": 1e-12}
        )
        candidates = [0.0, float(found.x), 1.0]
        values = [_chernoff(first, second, a) for a in candidates]
        index = int(np.argmax(values))
        value, best = max(0.0, values[index]), candidates[index]
    return (in_unit(unit, value), best) if return_exponent else in_unit(unit, value)


def mutual_information_shuffled(
    counts: npt.ArrayLike,
    *,
    n_shuffles: int = 100,
    random_state: int | np.random.Generator | None = None,
    unit: Unit = "nats",
) -> float:
    """The plug-in I(X;Y) of counts (n_x, n_y) minus its mean over tables of the same margins with X and Y independent.

    Parameters
    ----------
    counts : array_like of whole numbers, shape (n_x, n_y)
    n_shuffles : int
        Random tables, drawn by `scipy.stats.random_table`.
    random_state : int, Generator or None
        Seed; None is a fixed seed, so that results repeat.
    unit : "nats" or "bits"

    Returns
    -------
    float
        May come out below 0.

    Raises
    ------
    ValueError, TypeError
        Counts that are not whole, n_shuffles below 1.

    Examples
    --------
    >>> from dualib.information import mutual_information, mutual_information_shuffled
    >>> counts = [[30, 5], [6, 31]]
    >>> 0.0 < mutual_information_shuffled(counts) < mutual_information(counts)
    True
    """
    table = as_non_negative("counts", counts, 2)
    if (table != np.round(table)).any():
        raise ValueError(f"counts must be whole numbers to be shuffled, got {float(table[table != np.round(table)][0])!r}")
    if isinstance(n_shuffles, bool) or not isinstance(n_shuffles, (int, np.integer)):
        raise TypeError(f"n_shuffles must be an integer, got {shown(n_shuffles)}")
    if n_shuffles < 1:
        raise ValueError(f"n_shuffles must be at least 1, got {shown(n_shuffles)}")
    from scipy.stats import random_table

    rng = random_generator(random_state)
    margins = random_table(table.sum(axis=1).astype(np.int64), table.sum(axis=0).astype(np.int64), seed=rng)
    shuffled = np.mean([mutual_information(margins.rvs()) for _ in range(n_shuffles)])
    return in_unit(unit, mutual_information(table) - float(shuffled))


def entropy_of(p: Array) -> float:
    """H(p), nats, of numbers (n,) that are known to be a distribution but for rounding."""
    live = p[p > 0.0]
    return max(0.0, float(-np.sum(live * np.log(live))))


def _chernoff(p: Array, q: Array, a: float) -> float:
    """- log sum p^a q^(1-a) over the common support."""
    live = (p > 0.0) & (q > 0.0)
    if not live.any():
        return np.inf
    log_terms = a * np.log(p[live]) + (1.0 - a) * np.log(q[live])
    top = log_terms.max()
    return float(-(top + np.log(np.sum(np.exp(log_terms - top)))))


def _joint(name: str, pxy: npt.ArrayLike) -> Array:
    """A table (n_x, n_y) scaled to sum to 1: probabilities or counts alike."""
    table = as_non_negative(name, pxy, 2)
    table = table / table.max()
    return np.asarray(table / table.sum())
