"""Slow twins of the engine's steps, in plain loops from the definitions, which know no features, links or faces."""

import numpy as np

from dualib.distortions.bottlenecks import IB
from dualib.distortions.divergences import Alpha, Bregman
from dualib.distortions.matrices import RateDistortion
from engine.cases import Itakura


def divergence(distortion, p, r, x):
    """d(x, r) of one conditional p (n_y,) and one decoder r, from its textbook formula; x is the row of the table."""
    if isinstance(distortion, RateDistortion):
        return float(distortion.matrix[x, np.argmax(r)])
    total = 0.0
    if isinstance(distortion, Alpha):
        for a, b in zip(p, r, strict=True):
            total += a**distortion.alpha * b ** (1.0 - distortion.alpha)
        return (1.0 - total) / (distortion.alpha * (1.0 - distortion.alpha))
    for a, b in zip(p, r, strict=True):
        if isinstance(distortion, Bregman):
            total += 0.5 * (a - b) ** 2
        elif isinstance(distortion, Itakura):
            ratio = (a + distortion._shift) / (b + distortion._shift)
            total += ratio - np.log(ratio) - 1.0
        else:  # the dual IB and its exponential families
            first, second = (a, b) if isinstance(distortion, IB) else (b, a)
            if first > 0.0:
                total += np.inf if second == 0.0 else first * np.log(first / second)
    return total


def distances(joint, distortion, decoders):
    """d(x, t) of the live sources, (n, n_t)."""
    live = np.flatnonzero(joint.px > 0.0)
    return np.array([[divergence(distortion, joint.py_x[x], r, x) for r in decoders] for x in live])


def sweep(joint, distortion, beta, weights, decoders):
    """p(t|x) of the live sources (n, n_t), log Z with all of d in it (n,), the objective, and the new weights."""
    px = joint.px[joint.px > 0.0]
    d = distances(joint, distortion, decoders)
    posterior, log_z = np.zeros_like(d), np.zeros(len(px))
    for x in range(len(px)):
        nearest = min(d[x])
        terms = [w * np.exp(-beta * (d[x, t] - nearest)) for t, w in enumerate(weights)]
        log_z[x] = np.log(sum(terms)) - beta * nearest
        posterior[x] = np.array(terms) / sum(terms)
    return posterior, log_z, -float(px @ log_z), px @ posterior


def log_c(joint, distortion, beta, log_z, decoder):
    """log c at one decoder, log Z with all of d in it."""
    px = joint.px[joint.px > 0.0]
    d = distances(joint, distortion, [decoder])[:, 0]
    return float(np.log(sum(p * np.exp(-beta * d[x] - log_z[x]) for x, p in enumerate(px))))
