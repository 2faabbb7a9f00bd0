"""Estimators of mutual information for layers of networks: bins, kernel densities, neighbours, and a known log density.

None of them is a measurement of I(X;T) itself where T is a deterministic and continuous function of x, for there it is
infinite, or the entropy of x: each belongs to a model, of bins or of noise, that must be stated with its result.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dualib._validation import Array, IntArray, as_distribution, as_float_array, shown, validate_integer
from dualib.information.estimates import mutual_information_miller_madow
from dualib.networks.arrays import as_labels, as_positive, as_rows

_BLOCK = 4_000_000  # pairs of samples at a time
_MOST_KEYS = 2**62  # rows of bins are one integer while there are fewer than so many of them


class Bounds(NamedTuple):
    """A lower and an upper value, nats."""

    lower: float
    upper: float


def binned(activations: npt.ArrayLike, bins: int = 30, limits: tuple[float, float] = (-1, 1)) -> IntArray:
    """The symbols of a layer rounded to bins: rows that fall into the same bins in every unit are one symbol.

    Parameters
    ----------
    activations : array_like, shape (n, units)
    bins : int
        Edges: ``np.digitize(t, np.linspace(*limits, bins))``. 30 on (-1, 1) are what Shwartz-Ziv and Tishby (2017) chose for
        tanh, and no more than that: information by binning depends on them.
    limits : (float, float)
        First and last edge; what lies beyond falls into the outer bins.

    Returns
    -------
    ndarray of int, shape (n,)
        Symbols 0, 1, ..., one for each distinct row of bins.

    Raises
    ------
    ValueError, TypeError
        Activations that are not finite or of another shape; fewer than two bins; limits that do not rise.

    Examples
    --------
    >>> from dualib import networks
    >>> networks.binned([[-0.9, 0.1], [0.8, 0.1], [-0.9, 0.11]], bins=3).tolist()
    [0, 1, 0]
    """
    rows = as_rows("activations", activations)
    n_edges = validate_integer("bins", bins, 2)
    edges = np.linspace(*_rising("limits", limits), n_edges)
    return _distinct_rows(np.digitize(rows, edges), n_edges + 1)


def kde_bounds(activations: npt.ArrayLike, noise: float, weights: npt.ArrayLike | None = None) -> Bounds:
    """Bounds of I(T; X) for T = t(x) + N(0, noise I), over equally likely (or weighted) inputs x.

    Parameters
    ----------
    activations : array_like, shape (n, units)
        t(x), one row for each x.
    noise : float
        Variance of the noise, > 0. There is no default: the result depends on it, without end as it goes to 0.
    weights : array_like, shape (n,), optional
        p(x); by default uniform.

    Returns
    -------
    Bounds
        lower, upper; nats; at most the entropy of x.

    Notes
    -----
    Upper: ``- sum_i w_i ln sum_j w_j exp(-|t_i - t_j|^2 / (2 s^2))``; lower: the same with 8 s^2 (Kolchinsky and Tracey 2017,
    *Estimating mixture entropy with pairwise distances*). They hold for these inputs; for inputs of which these are a sample
    they do not.

    Examples
    --------
    >>> import numpy as np
    >>> from dualib import networks
    >>> bounds = networks.kde_bounds(np.array([[-1.0], [1.0]]), noise=0.01)
    >>> round(bounds.lower, 4), round(bounds.upper, 4)  # ln 2
    (0.6931, 0.6931)
    """
    rows = as_rows("activations", activations)
    variance = as_positive("noise", noise)
    w = np.full(len(rows), 1.0 / len(rows)) if weights is None else as_distribution("weights", weights, len(rows))
    lower, upper = kde_bounds_by_class(rows, variance, w[:, None])[0]
    return Bounds(float(lower), float(upper))


def kde_bounds_by_class(rows: Array, variance: float, weights: Array) -> Array:
    """`kde_bounds` for several distributions of x at once, the columns of `weights` (n, m): (m, 2)."""
    totals = np.zeros((weights.shape[1], 2))
    for block, squares in squared_distances(rows, rows):
        nearness = np.exp(squares / (-8.0 * variance))
        for column in range(2):
            mean = nearness @ weights
            logs = np.log(mean, out=np.zeros_like(mean), where=weights[block] > 0.0)
            totals[:, column] -= np.sum(weights[block] * logs, axis=0)
            if column == 0:
                nearness **= 4  # exp(-d / (2 s^2)), without a second exp
    return np.maximum(totals, 0.0)


def ksg(x: npt.ArrayLike, y: npt.ArrayLike, k: int = 4) -> float:
    """I(X;Y) from samples by nearest neighbours; each may be continuous, discrete, or a mixture of both.

    Parameters
    ----------
    x, y : array_like, shape (n,) or (n, d)
        Paired samples. Whole numbers, booleans or text of shape (n,) are labels, of which there is no distance; everything
        else is a point of R^d with the distance of the largest difference, so scale coordinates alike.
    k : int
        Neighbours; more means less variance and more bias.

    Returns
    -------
    float
        Nats; where there is no information it scatters around 0, below it too.

    Raises
    ------
    ValueError, TypeError
        Samples that are not finite, of different number, or not more than k of them; every sample with a label of its own.

    Notes
    -----
    ``psi(n) + mean(psi(k) - psi(n_x) - psi(n_y))`` with n_x, n_y the samples closer than the k-th neighbour, oneself included
    (Kraskov, Stoegbauer and Grassberger 2004, first estimator). Where the k-th neighbour is at distance 0, k is the number of
    samples there (Gao, Kannan, Oh and Viswanath 2017); with labels neighbours are sought within a label (Ross 2014), and labels on
    both sides are counted, with the correction of Miller and Madow. It
    underestimates large information: telling I apart takes a number of samples in proportion to exp(I).

    Examples
    --------
    >>> import math
    >>> import numpy as np
    >>> from dualib import networks
    >>> x, noise = np.random.default_rng(0).normal(size=(2, 500))
    >>> abs(networks.ksg(x, x + noise) - 0.5 * math.log(2.0)) < 0.1  # that is the truth
    True
    """
    k = validate_integer("k", k, 1)
    x_labels, y_labels = as_labels("x", x), as_labels("y", y)
    x_rows = as_rows("x", x if x_labels is None else x_labels)
    y_rows = as_rows("y", y if y_labels is None else y_labels)
    n = len(x_rows)
    if len(y_rows) != n:
        raise ValueError(f"x and y must have as many samples, got {n} and {len(y_rows)}")
    if n <= k:
        raise ValueError(f"k must be less than the number of samples, got k = {k} and {n} samples")
    if x_labels is not None and y_labels is not None:
        table = np.zeros((x_labels.max() + 1, y_labels.max() + 1))
        np.add.at(table, (x_labels, y_labels), 1.0)
        return mutual_information_miller_madow(table)
    if x_labels is not None:
        return _ksg_of_labels(x_labels, y_rows, k)
    if y_labels is not None:
        return _ksg_of_labels(y_labels, x_rows, k)
    from scipy.special import digamma

    radius, neighbours = _nearest(np.concatenate([x_rows, y_rows], axis=1), k)
    terms = digamma(neighbours) - sum(digamma(_count_within(part, radius)) for part in (x_rows, y_rows))
    return float(digamma(n) + np.mean(terms))


def _ksg_of_labels(labels: IntArray, values: Array, k: int) -> float:
    """Neighbours among the samples of one's own label; a sample that is alone in its label has none, and is left out (Ross 2014)."""
    from scipy.special import digamma

    sizes = np.bincount(labels)
    kept = sizes[labels] > 1
    labels, values = labels[kept], values[kept]
    if not len(labels):
        raise ValueError("every sample has a label of its own: neighbours need two samples of a label at least")
    radius, neighbours = np.empty(len(labels)), np.empty(len(labels))
    order = np.argsort(labels, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        radius[members], neighbours[members] = _nearest(values[members], min(k, len(members) - 1))
    terms = digamma(neighbours) - digamma(sizes[labels]) - digamma(_count_within(values, radius))
    return float(digamma(len(labels)) + np.mean(terms))


def _nearest(points: Array, k: int) -> tuple[Array, IntArray]:
    """The largest radius in which the k-th neighbour does not lie, and k; at distance 0, 0 and the number of points there."""
    from scipy.spatial import cKDTree

    tree = cKDTree(points)
    distance = tree.query(points, k + 1, p=np.inf)[0][:, -1]
    tied = distance == 0.0
    neighbours = np.full(len(points), k)
    if tied.any():
        neighbours[tied] = tree.query_ball_point(points[tied], 0.0, p=np.inf, return_length=True)
    return np.where(tied, 0.0, np.nextafter(distance, 0.0)), neighbours


def _count_within(points: Array, radius: Array) -> IntArray:
    """How many points, oneself included, lie within each point's radius by the largest difference of coordinates."""
    from scipy.spatial import cKDTree

    return np.asarray(cKDTree(points).query_ball_point(points, radius, p=np.inf, return_length=True))


def info_nce(log_density: npt.ArrayLike) -> Bounds:
    """Bounds of I(X;Z) from the densities of samples: lower with the sample's own x among the alternatives, upper without it.

    Parameters
    ----------
    log_density : array_like, shape (n, n)
        ``log p(z_i | x_j)``, z_i drawn given x_i, the x_i independent; -inf is allowed off the diagonal.

    Returns
    -------
    Bounds
        lower, ``ln n + mean_i(s_ii - ln sum_j exp s_ij)``, at most ln n; upper, leave-one-out, ``ln(n - 1) + mean_i(s_ii - ln
        sum_{j != i} exp s_ij)``; nats. Each holds in the mean over samples; the upper one may be infinite.

    Notes
    -----
    Poole, Ozair, van den Oord, Alemi and Tucker (2019), *On variational bounds of mutual information*. Where the x_j are all
    inputs there are, equally likely, the lower one is an unbiased estimate of I(X;Z) itself.

    Examples
    --------
    >>> import numpy as np
    >>> from dualib import networks
    >>> z, x = np.random.default_rng(0).normal(size=(2, 50))
    >>> z += x
    ...
    >>> bounds = networks.info_nce(-0.5 * (z[:, None] - x) ** 2)
    >>> 0.0 < bounds.lower < bounds.upper
    True
    """
    raw = np.asarray(log_density)
    if raw.ndim != 2 or raw.shape[0] != raw.shape[1] or len(raw) < 2:
        raise ValueError(f"log_density must have shape (n, n) with n of at least 2, got {raw.shape}")
    # -inf stands for a density of 0, and is the only value that is not finite
    checked = as_float_array("log_density", np.where(np.isneginf(raw), 0.0, raw), 2)
    scores = np.where(np.isneginf(raw), -np.inf, checked)
    own = np.diagonal(scores).copy()
    if np.isneginf(own).any():
        raise ValueError(f"log_density must be finite on its diagonal, got -inf at {int(np.flatnonzero(np.isneginf(own))[0])}")
    from scipy.special import logsumexp

    n = len(scores)
    lower = np.log(n) + np.mean(own - logsumexp(scores, axis=1))
    np.fill_diagonal(scores, -np.inf)
    upper = np.log(n - 1) + np.mean(own - logsumexp(scores, axis=1))
    return Bounds(float(lower), float(upper))


def squared_distances(rows: Array, others: Array) -> Any:
    """Blocks of rows, each with its squared distances from all others: pairs (slice, (m, n))."""
    from scipy.spatial.distance import cdist

    step = max(1, _BLOCK // len(others))
    for begin in range(0, len(rows), step):
        block = slice(begin, begin + step)
        yield block, cdist(rows[block], others, "sqeuclidean")


def _distinct_rows(digits: IntArray, base: int) -> IntArray:
    """The number of each row's class of equal rows: the digits are joined to one integer, compressed before it overflows."""
    keys, n_keys = digits[:, 0].astype(np.int64), base
    for column in digits.T[1:]:
        if n_keys > _MOST_KEYS // base:
            values, keys = np.unique(keys, return_inverse=True)
            keys, n_keys = keys.reshape(-1), len(values)
        keys, n_keys = keys * base + column, n_keys * base
    return np.unique(keys, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _rising(name: str, limits: Any) -> tuple[float, float]:
    values = as_float_array(name, limits, 1)
    if len(values) != 2 or not values[0] < values[1]:
        raise ValueError(f"{name} must be two numbers, the first below the second, got {shown(limits)}")
    return float(values[0]), float(values[1])
