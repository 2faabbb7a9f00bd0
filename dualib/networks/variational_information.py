"""What a variational bottleneck holds, each quantity under its own name."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dualib._validation import Array, IntArray
from dualib.information.entropies import entropy
from dualib.networks.estimators import Bounds, info_nce


@dataclass(frozen=True)
class VariationalInformation:
    """Informations of a representation Z on given examples, nats.

    Attributes
    ----------
    rate : float
        The term of the loss, E[ln q(z|x) - ln b(z|y)], or with r(z) in place of b(z|y).
    rate_bounds : str
        What the rate is an upper bound of: "I(X;Z|Y)" with b(z|y), "I(X;Z)" with r(z). They must not be drawn on one axis.
    residual_lower, residual_upper : float
        Bounds of I(X;Z|Y) from the examples: leave-one-out among those of the same label; the lower one at most the mean log
        of their number. The labels that one example alone has are left out.
    mi_xz_lower, mi_xz_upper : float
        Bounds of I(X;Z) from the examples, leave-one-out; the lower one at most log n.
    mi_zy_lower, mi_zy_upper : float
        Bounds of I(Z;Y) = I(X;Z) - I(X;Z|Y), from those two.
    mi_zy_decoder : float
        Lower bound of I(Z;Y) that the decoder shows: H(Y) less its cross-entropy at z. It is far below, and may be negative,
        where the decoder is too sure of itself, as that of the dual IB is: its divergence from ptilde does not count what it
        leaves out.
    cross_entropy, error : float
        Of the prediction, the decoder at E[z]: nats for each example, and the share of labels that are missed.
    """

    rate: float
    rate_bounds: str
    residual_lower: float
    residual_upper: float
    mi_xz_lower: float
    mi_xz_upper: float
    mi_zy_lower: float
    mi_zy_upper: float
    mi_zy_decoder: float
    cross_entropy: float
    error: float


def log_normal(z: Array, mean: Array, scale: Array) -> Array:
    """Logarithms of the densities of diagonal Gaussians, summed over the last axis; shapes that broadcast."""
    return np.sum(-0.5 * ((z - mean) / scale) ** 2 - np.log(scale) - 0.5 * np.log(2.0 * np.pi), axis=-1)


def densities(z: Array, mean: Array, scale: Array) -> Array:
    """The ln q(z_i|x_j), (n, n), of arrays (n, latent_dim): one dimension at a time, so that no more than (n, n) is held."""
    total = np.zeros((len(z), len(z)))
    for k in range(z.shape[1]):
        total += log_normal(z[:, None, k, None], mean[None, :, k, None], scale[None, :, k, None])
    return total


def residual(log_density: Array, codes: IntArray) -> Bounds:
    """Bounds of I(X;Z|Y): those of I(X;Z) among the examples of each label, in the mean; (0, 0) where every label is alone."""
    sums, count = np.zeros(2), 0
    for code in np.unique(codes):
        members = np.flatnonzero(codes == code)
        if len(members) > 1:
            sums += len(members) * np.array(info_nce(log_density[np.ix_(members, members)]))
            count += len(members)
    return Bounds(*(sums / max(count, 1)).tolist())


def label_entropy(codes: IntArray) -> float:
    """H(Y) of the examples."""
    counts = np.bincount(codes)
    return entropy(counts / counts.sum())
