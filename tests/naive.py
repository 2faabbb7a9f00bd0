"""Slow textbook twins, written from the definitions alone, to hold the package against."""

import numpy as np


def kl(p, q):
    """KL(p || q) in nats, +inf where p > 0 = q."""
    total = 0.0
    for a, b in zip(p, q, strict=True):
        if a > 0.0:
            if b == 0.0:
                return np.inf
            total += a * np.log(a / b)
    return total


def distortion(kind, p, r):
    """d(x, r) of the IB or the dual IB."""
    return kl(p, r) if kind == "ib" else kl(r, p)


def distortion_matrix(kind, py_x, decoder):
    """d(x, t), (n_x, n_t)."""
    return np.array([[distortion(kind, p, r) for r in decoder] for p in py_x])


def centroid(kind, weights, py_x):
    """The minimiser over r of sum_x weights_x d(x, r): arithmetic or geometric mean."""
    if kind == "ib":
        return sum(w * p for w, p in zip(weights, py_x, strict=True))
    r = np.ones(py_x.shape[1])
    for w, p in zip(weights, py_x, strict=True):
        if w > 0.0:
            r = r * p**w
    return r / r.sum()


def hard_distortion(kind, px, py_x, labels):
    """E d of hard clusters, inf where the members of one share no y (dual IB)."""
    total = 0.0
    for label in set(labels):
        of = np.flatnonzero(np.asarray(labels) == label)
        with np.errstate(all="ignore"):
            r = centroid(kind, px[of] / px[of].sum(), py_x[of])
        if np.isnan(r).any():
            return np.inf
        total += sum(px[x] * distortion(kind, py_x[x], r) for x in of)
    return total


def encoder_of(kind, px, py_x, weights, decoder, beta):
    """p(t|x) = w_t exp(-beta d) / Z, and the objective - sum p log Z."""
    d = distortion_matrix(kind, py_x, decoder)
    terms = weights * np.exp(-beta * (d - d.min(axis=1, keepdims=True)))
    z = terms.sum(axis=1)
    return terms / z[:, None], float(px @ (beta * d.min(axis=1) - np.log(z)))


def sweep(kind, px, py_x, weights, decoder, beta):
    """One Blahut-Arimoto sweep: objective before it, then encoder, weights, decoder."""
    encoder, objective = encoder_of(kind, px, py_x, weights, decoder, beta)
    new_weights = px @ encoder
    new_decoder = np.array([centroid(kind, px * encoder[:, t] / new_weights[t], py_x) for t in range(len(new_weights))])
    return objective, encoder, new_weights, new_decoder


def mutual_information(pxy):
    """I(X;Y) in nats."""
    px, py = pxy.sum(axis=1), pxy.sum(axis=0)
    return sum(
        pxy[i, j] * np.log(pxy[i, j] / (px[i] * py[j]))
        for i in range(pxy.shape[0])
        for j in range(pxy.shape[1])
        if pxy[i, j] > 0.0
    )


def objective_of_encoder(kind, px, py_x, encoder, beta):
    """I(X;T) + beta E d of an encoder, with its own marginal and centroids."""
    weights = px @ encoder
    live = weights > 0.0
    encoder, weights = encoder[:, live], weights[live]
    decoder = np.array([centroid(kind, px * encoder[:, t] / weights[t], py_x) for t in range(len(weights))])
    d = distortion_matrix(kind, py_x, decoder)
    pairs = px[:, None] * encoder
    expected = sum(pairs[i, t] * d[i, t] for i in range(len(px)) for t in range(len(weights)) if pairs[i, t] > 0.0)
    return mutual_information(pairs) + beta * expected


def random_problem(rng, n_x, n_y, concentration=1.0):
    """A random joint distribution as (p(x), p(y|x))."""
    return rng.dirichlet(np.full(n_x, 2.0)), rng.dirichlet(np.full(n_y, concentration), n_x)
