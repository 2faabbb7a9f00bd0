"""The gradient function c(s) of an encoder at 50 digits: log max c bounds its distance from the global optimum."""

from mpmath import exp, fsum, inf, log, mpf, workdps

from reference.objective import DIGITS, clustering, distortion


def likelihoods(kind, py_x, points, beta):
    """``exp(-beta d(x, s))``, by source and point; exactly 0 where the distortion is infinite."""
    table = []
    for p in py_x:
        d = [distortion(kind, p, s) for s in points]
        table.append([mpf(0) if value == inf else exp(-mpf(float(beta)) * value) for value in d])
    return table


def normalisers(weights, table):
    """``Z(x) = sum_t w_t exp(-beta d(x, t))``."""
    return [fsum(w * value for w, value in zip(weights, row, strict=True)) for row in table]


@workdps(DIGITS)
def log_c(kind, pxy, encoder, beta, points=None):
    """``log c(s) = log sum_x p(x) exp(-beta d(x, s)) / Z(x)`` at each of the points (m, n_y), by default at the encoder's decoders.

    Z belongs to the encoder's own weights and centroids.
    """
    px, py_x, _, weights, decoders = clustering(kind, pxy, encoder)
    z = normalisers(weights, likelihoods(kind, py_x, decoders, beta))
    given = decoders if points is None else [[mpf(float(value)) for value in row] for row in points]
    normed = [[value / fsum(row) for value in row] for row in given]
    table = likelihoods(kind, py_x, normed, beta)
    c = [fsum(p * row[s] / normaliser for p, row, normaliser in zip(px, table, z, strict=True)) for s in range(len(normed))]
    return [log(value) if value > 0 else -inf for value in c]
