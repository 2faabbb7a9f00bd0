"""Every partition of a small table, and the objective of hard clusters by the definitions."""

import naive
import numpy as np

import dualib


def with_zeros(seed, n_x=7, n_y=5, part=0.4):
    """Random p(x) and p(y|x), about a part of the latter 0; the first y is everybody's, so that any x may share a cluster."""
    rng = np.random.default_rng(seed)
    py_x = rng.dirichlet(np.full(n_y, 0.7), n_x) * (rng.random((n_x, n_y)) > part)
    py_x[:, 0] += 0.02
    return rng.dirichlet(np.full(n_x, 3.0)), py_x / py_x.sum(axis=1, keepdims=True)


def partitions(n, most):
    """Every clustering of n things into at most `most` clusters, as labels."""

    def extended(labels):
        if len(labels) == n:
            yield labels
            return
        for t in range(min(max(labels, default=-1) + 2, most)):
            yield from extended((*labels, t))

    return (np.array(labels) for labels in extended(()))


def part_of_distortion(kind, weights, rows):
    """The least sum_x weights_x d(x, r) over r, by the definitions; inf for the dual IB without a common support."""
    total = weights.sum()
    if kind == "ib":
        mean = weights @ rows / total
        return sum(w * naive.kl(p, mean) for w, p in zip(weights, rows, strict=True))
    if kind == "dualib":
        common = (rows > 0.0).all(axis=0)
        if not common.any():
            return np.inf
        return -total * np.log(np.sum(np.exp((weights / total) @ np.log(rows[:, common]))))
    if isinstance(kind, dualib.Bregman):
        return 0.5 * np.sum(weights[:, None] * (rows - weights @ rows / total) ** 2)
    r = (weights @ np.sqrt(rows)) ** 2
    return float(np.sum(weights * 4.0 * (1.0 - np.sqrt(rows) @ np.sqrt(r / r.sum()))))


def priced(kind, px, py_x, price, labels):
    """price H(T) + E d of hard clusters."""
    weights = np.bincount(labels, px)
    weights = weights[weights > 0.0]
    parts = [part_of_distortion(kind, px[labels == t], py_x[labels == t]) for t in np.unique(labels)]
    return sum(parts) - price * np.sum(weights * np.log(weights))


def hard_objective(kind, px, py_x, beta, labels):
    """H(T) + beta E d of hard clusters."""
    return beta * priced(kind, px, py_x, 1.0 / beta, labels)


def least_of_all(kind, px, py_x, beta, k):
    return min(hard_objective(kind, px, py_x, beta, labels) for labels in partitions(len(px), k))
