"""Forty lines of NumPy that cluster by the IB under a cap: what a capped solve must never be worse than."""

import numpy as np


def xlogx(p):
    return p * np.log(np.where(p > 0.0, p, 1.0))


def cost(beta, weights, sums):
    """What clusters of mass w and sums S = sum_x p(x) p(y|x) add to H(T) + beta E d, but for a constant."""
    return beta * (xlogx(weights) - xlogx(sums).sum(axis=-1)) - xlogx(weights)


def divergences(py_x, decoder):
    """KL( p(y|x) || r_t ), (n_x, n_t), of decoders without zeros."""
    return xlogx(py_x).sum(axis=1)[:, None] - py_x @ np.log(decoder).T


def hard_labels(px, py_x, beta, k, rng, passes=50):
    """Seeds as of k-means++, then batch moves to softened centroids, then single moves judged by the exact objective."""
    n, everything = len(px), px @ py_x
    seeds = [rng.choice(n, p=px)]
    while len(seeds) < min(k, n):
        nearest = divergences(py_x, 0.9 * py_x[seeds] + 0.1 * everything).min(axis=1) * px
        nearest[seeds] = 0.0
        seeds.append(rng.choice(n, p=np.maximum(nearest, 1e-12) / np.maximum(nearest, 1e-12).sum()))
    labels = divergences(py_x, 0.9 * py_x[seeds] + 0.1 * everything).argmin(axis=1)
    for _ in range(passes):
        pairs = np.eye(k)[labels] * px[:, None]
        weights = np.maximum(pairs.sum(axis=0), 1e-12)
        decoder = 0.99 * (pairs.T @ py_x) / weights[:, None] + 0.01 * everything
        labels, old = (beta * divergences(py_x, decoder) - np.log(weights)).argmin(axis=1), labels
        if (labels == old).all():
            break
    for _ in range(passes):
        moved = False
        for x in rng.permutation(n):
            pairs = np.eye(k)[labels] * px[:, None]
            pairs[x] = 0.0
            weights, sums = pairs.sum(axis=0), pairs.T @ py_x
            rise = cost(beta, weights + px[x], sums + px[x] * py_x[x]) - cost(beta, weights, sums)
            if rise.min() < rise[labels[x]] - 1e-12:
                labels[x], moved = rise.argmin(), True
        if not moved:
            break
    return labels


def objective(px, py_x, beta, encoder, alpha=1.0):
    """H(T) - alpha H(T|X) + beta E d of an encoder by its own weights and decoders."""
    pairs = px[:, None] * encoder
    weights, sums = pairs.sum(axis=0), pairs.T @ py_x
    distortion = px @ xlogx(py_x).sum(axis=1) + (xlogx(weights) - xlogx(sums).sum(axis=1)).sum()
    return alpha * (xlogx(pairs).sum() - xlogx(px).sum()) - xlogx(weights).sum() + beta * distortion


def solve(px, py_x, beta, k, seeds=range(10), sweeps=20, alpha=1.0):
    """The least objective of ten seeds, each hard and, but at alpha = 0, after a few sweeps that soften it."""
    best = np.inf
    for seed in seeds:
        encoder = np.eye(k)[hard_labels(px, py_x, beta, k, np.random.default_rng(seed))]
        best = min(best, objective(px, py_x, beta, encoder))
        for _ in range(sweeps if alpha > 0.0 else 0):
            weights = np.maximum(px @ encoder, 1e-300)
            decoder = np.maximum((px[:, None] * encoder).T @ py_x / weights[:, None], 1e-300)
            terms = (np.log(weights) - beta * divergences(py_x, decoder)) / (alpha or 1.0)
            encoder = np.exp(terms - terms.max(axis=1, keepdims=True))
            encoder /= encoder.sum(axis=1, keepdims=True)
        best = min(best, objective(px, py_x, beta, encoder, alpha))
    return best
