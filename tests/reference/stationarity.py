"""How far an encoder is from the self-consistent equations, at 50 digits."""

from mpmath import fsum, log, mpf, sqrt, workdps

from reference.certificate import likelihoods, normalisers
from reference.objective import DIGITS, centroid, clustering


@workdps(DIGITS)
def moves(kind, pxy, encoder, beta):
    """By cluster: the new weight over the old, and beta times the Jeffreys divergence of the new decoder from the old."""
    px, py_x, _, weights, decoders = clustering(kind, pxy, encoder)
    table = likelihoods(kind, py_x, decoders, beta)
    z = normalisers(weights, table)
    result = []
    for t, (weight, r) in enumerate(zip(weights, decoders, strict=True)):
        pairs = [p * weight * row[t] / normaliser for p, row, normaliser in zip(px, table, z, strict=True)]
        new_weight = fsum(pairs)
        new_r = centroid(kind, [pair / new_weight for pair in pairs], py_x)
        jeffreys = fsum((a - b) * log(a / b) for a, b in zip(new_r, r, strict=True) if a > 0 or b > 0)
        result.append((new_weight / weight, mpf(float(beta)) * jeffreys))
    return result


@workdps(DIGITS)
def ratios(kind, pxy, encoder, beta):
    """c on the encoder's own clusters: each weight after a sweep over the weight before it."""
    return [ratio for ratio, _ in moves(kind, pxy, encoder, beta)]


@workdps(DIGITS)
def residual(kind, pxy, encoder, beta):
    """The largest of ``|c_t - 1|`` and ``sqrt(beta J(r_t', r_t))`` over the clusters, primes after one more sweep.

    J(p, q) = KL(p || q) + KL(q || p): to second order in the move it is the natural length of the decoder's move, for both problems.
    """
    return max(max(abs(ratio - 1), sqrt(length)) for ratio, length in moves(kind, pxy, encoder, beta))
