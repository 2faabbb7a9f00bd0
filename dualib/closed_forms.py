"""Closed forms of the problems in `dualib.datasets`, in nats, to hold the solver against.

Each function of beta returns a `Point`; roots of scalar equations are found to full precision by Brent's method.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from dualib._validation import is_real, shown, validate_beta, validate_choice, validate_integer, validate_open_probability
from dualib.information.entropies import entropy_of

Kind = Literal["ib", "dualib"]


class Point(NamedTuple):
    """objective I(X;T) + beta E d, rate I(X;T), relevance I(T;Y); nats.

    Examples
    --------
    >>> from dualib import closed_forms
    >>> closed_forms.erasure(0.25, 2.0)._fields
    ('objective', 'rate', 'relevance')
    """

    objective: float
    rate: float
    relevance: float


def binary_symmetric_onset(e: float, kind: Kind = "ib") -> float:
    """1 / (1 - 2e)^2 for the IB; 4 / L^2 with L = log((1 - e) / e) for the dual IB. A split, for both.

    inf for e = 1/2, where nothing can be learned.

    Examples
    --------
    >>> import dualib
    >>> from dualib import closed_forms
    >>> round(closed_forms.binary_symmetric_onset(0.1), 9), round(dualib.onset(dualib.datasets.binary_symmetric(0.1)), 9)
    (1.5625, 1.5625)
    """
    e, ib = validate_open_probability("e", e), _is_ib(kind)
    if e == 0.5:
        return np.inf
    return 1.0 / (1.0 - 2.0 * e) ** 2 if ib else float(4.0 / np.log((1.0 - e) / e) ** 2)


def binary_symmetric(e: float, beta: float, kind: Kind = "ib") -> Point:
    """The binary symmetric channel with flip probability e: two decoders r = (s(u), s(-u)) and its mirror image.

    With the flip probability a of the encoder, rate = ln 2 - h(a) and relevance = ln 2 - h(a(1-e) + (1-a)e) (Wyner and Ziv 1973,
    Mrs Gerber). For the dual IB u is the positive root of ``u = L tanh( beta tanh(u/2) L / 2 )``.

    Examples
    --------
    >>> import dualib
    >>> from dualib import closed_forms
    >>> exact = closed_forms.binary_symmetric(0.1, 4.0)
    >>> round(exact.rate, 8), round(dualib.solve(dualib.datasets.binary_symmetric(0.1), 4.0).rate, 8)
    (0.68589285, 0.68589285)
    """
    beta, e = validate_beta(beta), validate_open_probability("e", e)
    length = float(np.log((1.0 - e) / e))
    strength = _flip_strength(e, beta, kind, length)
    flip = _logistic(-strength)
    mixed = flip * (1.0 - e) + (1.0 - flip) * e
    rate = float(np.log(2.0)) - _h(flip)
    relevance = float(np.log(2.0)) - _h(mixed)
    if kind == "ib":
        return Point(rate + beta * (_h(mixed) - _h(e)), rate, relevance)
    # the geometric mean of the two conditionals with weights 1 - a, a: -log of its normaliser is the mean distortion
    log_same = (1.0 - flip) * np.log1p(-e) + flip * np.log(e)
    log_other = (1.0 - flip) * np.log(e) + flip * np.log1p(-e)
    return Point(rate - beta * float(np.logaddexp(log_same, log_other)), rate, relevance)


def _flip_strength(e: float, beta: float, kind: Kind, length: float) -> float:
    """log((1 - a) / a) of the optimal encoder."""
    if beta <= binary_symmetric_onset(e, kind):
        return 0.0

    slope = abs(1.0 - 2.0 * e)

    def ib(v: float) -> float:  # the decoders' log odds, log((1 - a*e) / (a*e)), are 2 artanh( (1 - 2e) tanh(v / 2) )
        return 2.0 * beta * slope * np.arctanh(slope * np.tanh(v / 2.0)) - v

    def dual(v: float) -> float:
        return beta * np.tanh(abs(length) * np.tanh(v / 2.0) / 2.0) * abs(length) - v

    largest = beta * abs(length)
    equation = ib if kind == "ib" else dual
    least = 1e-12
    return float(brentq(equation, least, largest * (1 + 1e-12), xtol=1e-300, rtol=1e-15)) if equation(least) > 0.0 else 0.0


def erasure_onset(e: float, kind: Kind = "ib") -> float:
    """1 / (1 - e) for the IB, ln 2 / (-ln e) for the dual IB: jumps.

    Examples
    --------
    >>> from dualib import closed_forms
    >>> round(closed_forms.erasure_onset(0.25), 9), round(closed_forms.erasure_onset(0.25, "dualib"), 9)
    (1.333333333, 0.5)
    """
    e = validate_open_probability("e", e)
    return 1.0 / (1.0 - e) if _is_ib(kind) else float(np.log(2.0) / -np.log(e))


def erasure(e: float, beta: float, kind: Kind = "ib") -> Point:
    """The binary erasure channel: all or nothing, at the jump either end is optimal (the trivial one is returned).

    Examples
    --------
    >>> from dualib import closed_forms
    >>> closed_forms.erasure(0.25, 1.0).rate, round(closed_forms.erasure(0.25, 2.0).rate, 6)  # nothing, or all of ln 2
    (0.0, 0.693147)
    """
    beta, e = validate_beta(beta), validate_open_probability("e", e)
    ln2 = float(np.log(2.0))
    trivial = beta * (1.0 - e) * ln2 if _is_ib(kind) else -beta * float(np.log(e))
    if trivial <= ln2:
        return Point(trivial, 0.0, 0.0)
    return Point(ln2, ln2, (1.0 - e) * ln2)


def deterministic(entropy: float, beta: float, kind: Kind = "ib") -> Point:
    """Y = f(X) with H(Y) = `entropy`: the IB jumps at beta = 1; the dual IB keeps all at every beta.

    Examples
    --------
    >>> from dualib import closed_forms
    >>> [closed_forms.deterministic(0.5, beta).relevance for beta in (0.9, 1.1)]
    [0.0, 0.5]
    """
    beta = validate_beta(beta)
    if not is_real(entropy) or not 0.0 <= entropy < np.inf:
        raise ValueError(f"entropy must be finite and >= 0, got {shown(entropy)}")
    if _is_ib(kind) and beta <= 1.0:
        return Point(beta * entropy, 0.0, 0.0)
    return Point(entropy, entropy, entropy)


def gaussian_ib(rho: float, beta: float, kind: Kind = "ib") -> Point:
    """Jointly Gaussian X, Y of correlation rho (Chechik et al. 2005); the dual IB at beta equals the IB at beta + 1.

    Onset 1 / rho^2 for the IB, (1 - rho^2) / rho^2 for the dual IB. The objective is that of the continuous problem.

    Examples
    --------
    >>> from dualib import closed_forms
    >>> round(closed_forms.gaussian_ib(0.8, 4.0).rate, 6), round(closed_forms.gaussian_ib(0.8, 3.0, "dualib").rate, 6)
    (0.836988, 0.836988)
    """
    beta, rho, ib = validate_beta(beta), validate_open_probability("rho", rho), _is_ib(kind)
    equivalent = beta if ib else beta + 1.0
    total = -0.5 * float(np.log1p(-(rho**2)))
    if equivalent * rho**2 <= 1.0:
        distortion = total if ib else rho**2 / (2.0 * (1.0 - rho**2))
        return Point(beta * distortion, 0.0, 0.0)
    rate = 0.5 * np.log((equivalent - 1.0) * rho**2 / (1.0 - rho**2))
    relevance = 0.5 * np.log((equivalent - 1.0) / (equivalent * (1.0 - rho**2)))
    distortion = total - relevance if ib else 1.0 / (2.0 * beta)
    return Point(float(rate + beta * distortion), float(rate), float(relevance))


def symmetric_local(n: int, a: float, kind: Kind = "ib") -> float:
    """Local critical beta of the symmetric n-ary channel: 1 / a^2, and n^2 / L^2 with L = log((1 + (n-1) a) / (1 - a)).

    Examples
    --------
    >>> from dualib import closed_forms
    >>> round(closed_forms.symmetric_local(3, 0.6), 6), round(closed_forms.symmetric_local(3, 0.6, "dualib"), 6)
    (2.777778, 3.096864)
    """
    n, a = validate_integer("n", n, 2), validate_open_probability("a", a)
    return 1.0 / a**2 if _is_ib(kind) else float(n**2 / np.log((1.0 + (n - 1.0) * a) / (1.0 - a)) ** 2)


def symmetric_onset(n: int, a: float, kind: Kind = "ib") -> float:
    """True onset of the symmetric n-ary channel, by minimisation over one parameter z in (0, 1].

    At the onset clusters lean towards one source each, p(x|t) = q_z with ``q_z = ((1 + (n-1) z), 1 - z, ..., 1 - z) / n``. IB:
    the ratio of what q_z tells of X to what it tells of Y; dual IB: the same with the mean exponent in place of the latter.

    Examples
    --------
    >>> import dualib
    >>> from dualib import closed_forms
    >>> round(closed_forms.symmetric_onset(3, 0.6), 8), round(dualib.onset(dualib.datasets.symmetric(3, 0.6)), 8)
    (2.72493406, 2.72493406)
    """
    local = symmetric_local(n, a, kind)  # the limit z -> 0; it checks the arguments

    def q(z: float) -> np.ndarray:
        return np.concatenate([[1.0 + (n - 1.0) * z], np.full(n - 1, 1.0 - z)]) / n

    log_rows = np.log(a * np.eye(n) + (1.0 - a) / n)

    def exponent(p: np.ndarray) -> float:
        mixed = p @ log_rows
        return float(-(mixed.max() + np.log(np.sum(np.exp(mixed - mixed.max())))))

    def ratio(z: float) -> float:
        told = np.log(n) - entropy_of(q(z))
        gain = np.log(n) - entropy_of(q(a * z)) if kind == "ib" else exponent(q(0.0)) - exponent(q(z))
        return float(told / gain)

    grid = np.linspace(0.01, 1.0, 400)
    best = int(np.argmin([ratio(z) for z in grid]))
    bounds = (grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)])
    found = minimize_scalar(ratio, bounds=bounds, method="bounded", options={"xatol": 1e-12})
    return min(local, float(found.fun), ratio(1.0))


def bernoulli_hamming_onset(p: float) -> float:
    """ln((1 - p) / p) for p <= 1/2: below it one reproduction is best.

    Examples
    --------
    >>> from dualib import closed_forms
    >>> round(closed_forms.bernoulli_hamming_onset(0.3), 9)
    0.84729786
    """
    _check_half(p)
    return float(np.log((1.0 - p) / p))


def bernoulli_hamming(p: float, beta: float) -> Point:
    """Bernoulli(p), p <= 1/2, with Hamming distortion: R(D) = h(p) - h(D), D = 1 / (1 + e^beta) (relevance is of X itself).

    Examples
    --------
    >>> from dualib import closed_forms
    >>> round(closed_forms.bernoulli_hamming(0.3, 2.0).rate, 8)
    0.24553045
    """
    beta = validate_beta(beta)
    _check_half(p)
    distortion = min(p, _logistic(-beta))
    rate = _h(p) - _h(distortion)
    return Point(rate + beta * distortion, rate, rate)


def _is_ib(kind: str) -> bool:
    return validate_choice("kind", kind, ("ib", "dualib")) == "ib"


def _check_half(p: Any) -> None:
    if validate_open_probability("p", p) > 0.5:
        raise ValueError(f"p must be at most 1/2, got {shown(p)}")


def _h(p: float) -> float:
    return float(-p * np.log(p) - (1.0 - p) * np.log1p(-p)) if 0.0 < p < 1.0 else 0.0


def _logistic(u: float) -> float:
    return float(1.0 / (1.0 + np.exp(-u))) if u > -700.0 else 0.0
