"""I(X;T) + beta E d at 50 digits: distortions, centroids, and what an encoder makes of a joint distribution."""

from typing import NamedTuple

from mpmath import exp, fsum, inf, log, mpf, workdps

DIGITS = 50


class Clustering(NamedTuple):
    """p(x), p(y|x), p(t|x) of the live sources, and p(t), p(y|t) of the clusters with weight; lists of mpf."""

    px: list
    py_x: list
    encoder: list
    weights: list
    decoders: list


def kl(p, q):
    """KL(p || q) in nats; 0 log 0 = 0, +inf where p > 0 = q."""
    if any(a > 0 and b == 0 for a, b in zip(p, q, strict=True)):
        return inf
    return fsum(a * log(a / b) for a, b in zip(p, q, strict=True) if a > 0)


def distortion(kind, p, r):
    """d(x, r): KL(p || r) for the IB, KL(r || p) for the dual IB."""
    return {"ib": kl(p, r), "dualib": kl(r, p)}[kind]


def centroid(kind, shares, py_x):
    """The r that minimises ``sum_x shares_x d(x, r)``: arithmetic (IB) or normalised geometric mean (dual IB) of the members."""
    members = [(share, p) for share, p in zip(shares, py_x, strict=True) if share > 0]
    n_y = len(py_x[0])
    if kind == "ib":
        raw = [fsum(share * p[y] for share, p in members) for y in range(n_y)]
    else:
        common = [all(p[y] > 0 for _, p in members) for y in range(n_y)]
        raw = [exp(fsum(share * log(p[y]) for share, p in members)) if common[y] else mpf(0) for y in range(n_y)]
    total = fsum(raw)
    if total == 0:
        raise ValueError("the members of a cluster share no y")
    return [value / total for value in raw]


@workdps(DIGITS)
def clustering(kind, pxy, encoder):
    """Marginals, conditionals, and the clusters of an encoder: their weights and centroids."""
    rows = [[mpf(float(value)) for value in row] for row in pxy]
    total = fsum(fsum(row) for row in rows)
    live = [x for x, row in enumerate(rows) if fsum(row) > 0]
    px = [fsum(rows[x]) / total for x in live]
    py_x = [[value / fsum(rows[x]) for value in rows[x]] for x in live]
    sent = [[mpf(float(value)) for value in encoder[x]] for x in live]
    sent = [[value / fsum(row) for value in row] for row in sent]
    weights = [fsum(p * row[t] for p, row in zip(px, sent, strict=True)) for t in range(len(sent[0]))]
    kept = [t for t, weight in enumerate(weights) if weight > 0]
    decoders = [centroid(kind, [p * row[t] / weights[t] for p, row in zip(px, sent, strict=True)], py_x) for t in kept]
    return Clustering(px, py_x, [[row[t] for t in kept] for row in sent], [weights[t] for t in kept], decoders)


@workdps(DIGITS)
def objective(kind, pxy, encoder, beta):
    """``I(X;T) + beta E d`` of an encoder with its own weights and centroids, nats."""
    px, py_x, sent, weights, decoders = clustering(kind, pxy, encoder)
    terms = []
    for p, conditional, row in zip(px, py_x, sent, strict=True):
        for share, weight, r in zip(row, weights, decoders, strict=True):
            if share > 0:
                terms.append(p * share * (log(share / weight) + mpf(float(beta)) * distortion(kind, conditional, r)))
    return fsum(terms)
