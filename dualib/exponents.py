"""Error exponents of a solution: how fast samples of y tell its clusters, and its sources, apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dualib._validation import Array, Unit, in_unit
from dualib.information.entropies import chernoff_information

if TYPE_CHECKING:
    from dualib.results.solution import Solution


def cluster_chernoff(solution: Solution, *, unit: Unit = "nats") -> Array:
    """Chernoff information between the decoders p(y|t) of every two clusters.

    The probability of taking the cluster t for another by maximum likelihood, from n samples of y drawn from p(y|t), falls like
    ``exp(-n C)``, with C the least entry off the diagonal, whatever the prior weights (Cover and Thomas, Elements of
    Information Theory, section 11.9).

    Parameters
    ----------
    solution : Solution
    unit : "nats" or "bits"

    Returns
    -------
    ndarray, shape (n_t, n_t)
        Symmetric, 0 on the diagonal, inf where supports are disjoint.

    Raises
    ------
    ValueError
        A solution for a rate-distortion matrix, whose clusters have no p(y|t).

    Examples
    --------
    >>> import dualib
    >>> from dualib.exponents import cluster_chernoff
    >>> cluster_chernoff(dualib.solve(dualib.datasets.toy(), 8.0)).round(6)
    array([[0.    , 0.0786],
           [0.0786, 0.    ]])
    """
    if solution.distortion.fixed_atoms:
        raise ValueError("solution is of a rate-distortion matrix: its clusters have no p(y|t)")
    decoder = solution.decoder
    result = np.zeros((len(decoder), len(decoder)))
    for i in range(len(decoder)):
        for j in range(i):
            result[i, j] = result[j, i] = chernoff_information(decoder[i], decoder[j], unit=unit)
    return result


def mean_exponent(solution: Solution, *, unit: Unit = "nats") -> float:
    """``E_t[ - log sum_y prod_x p(y|x)^p(x|t) ]``: the mean exponent at which samples of y tell the members of a cluster apart.

    For two members this is minus the logarithm of their Chernoff coefficient at the exponent p(x|t). It is what the dual IB trades
    against the rate: there it equals `Solution.expected_distortion` (the least of ``sum_x p(x|t) KL( r || p(y|x) )`` over r).

    Parameters
    ----------
    solution : Solution
        Of any distortion; only its encoder p(t|x) counts.
    unit : "nats" or "bits"

    Returns
    -------
    float
        At least 0; inf where some cluster has members without a common support.

    Examples
    --------
    >>> import dualib
    >>> from dualib.exponents import mean_exponent
    >>> solution = dualib.solve(dualib.datasets.toy(), 8.0, "dualib")
    >>> abs(mean_exponent(solution) - solution.expected_distortion) < 1e-9  # what the dual IB trades against rate
    True
    """
    joint = solution.joint.to_dense()
    pairs = (joint.px[:, None] * solution.encoder).T
    weights = pairs.sum(axis=1)
    pairs, weights = pairs[weights > 0.0], weights[weights > 0.0]
    members = pairs / weights[:, None]
    zero = joint.py_x == 0.0
    log_mean = members @ np.log(np.where(zero, 1.0, joint.py_x))
    log_mean[(members > 0.0).astype(np.float64) @ zero.astype(np.float64) > 0.0] = -np.inf
    top = log_mean.max(axis=1)
    if np.isneginf(top).any():
        return in_unit(unit, np.inf)
    exponents = -(top + np.log(np.sum(np.exp(log_mean - top[:, None]), axis=1)))
    return in_unit(unit, max(0.0, float(weights @ exponents)))
