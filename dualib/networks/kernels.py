"""Kernels of infinitely wide networks in NTK parameterisation: of the outputs at the start (NNGP), and of their gradients (NTK).

A network of hidden layers ``z = sw W phi(z) / sqrt(width) + sb b`` with standard normal W, b is, as its layers grow wide, a
Gaussian process of covariance K, and follows gradient descent as a linear model of kernel Theta (Jacot, Gabriel and Hongler
2018; Lee et al. 2019). Each layer takes expectations of phi over Gaussian pairs with the covariances of the layer below, which
are known in closed form.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dualib._validation import Array


@dataclass(frozen=True)
class Moments:
    """Expectations over a Gaussian pair (u, v) of covariances k11, k12, k22 and a third Gaussian g.

    g has the covariances c1, c2 with u, v. Those with g are by Stein's lemma, ``E[g F(u, v)] = c1 E[dF/du] + c2 E[dF/dv]``.

    Attributes
    ----------
    values, slopes : ndarray
        E[phi(u) phi(v)] and E[phi'(u) phi'(v)].
    radial_values, radial_slopes : ndarray
        E[g phi'(u) phi(v)] and E[g phi''(u) phi'(v)].
    """

    values: Array
    slopes: Array
    radial_values: Array
    radial_slopes: Array


def relu(k11: Array, k12: Array, k22: Array, c1: Array, c2: Array) -> Moments:
    """phi(u) = max(u, 0): the arc-cosine kernels (Cho and Saul 2009)."""
    root = np.sqrt(k11 * k22)
    cosine = np.clip(_ratio(k12, root, 1.0), -1.0, 1.0)
    cosine[(k11 == k12) & (k12 == k22)] = 1.0  # exactly, for arccos would make 1e-8 of a rounding error
    angle = np.arccos(cosine)
    sine = np.sqrt((1.0 - cosine) * (1.0 + cosine))
    slopes = (np.pi - angle) / (2.0 * np.pi)
    return Moments(
        values=root * (sine + (np.pi - angle) * cosine) / (2.0 * np.pi),
        slopes=slopes,
        radial_values=c1 * _ratio(sine * root, k11) / (2.0 * np.pi) + c2 * slopes,
        radial_slopes=_ratio(_ratio(c2, root) - _ratio(c1 * cosine, k11), 2.0 * np.pi * sine),  # 0 where u = v
    )


def erf(k11: Array, k12: Array, k22: Array, c1: Array, c2: Array) -> Moments:
    """phi(u) = erf(u) (Williams 1997)."""
    product = (1.0 + 2.0 * k11) * (1.0 + 2.0 * k22)
    root = np.sqrt(product - 4.0 * k12**2)
    slopes = 4.0 / (np.pi * root)
    return Moments(
        values=2.0 / np.pi * np.arcsin(2.0 * k12 / np.sqrt(product)),
        slopes=slopes,
        radial_values=c2 * slopes - c1 * 8.0 / np.pi * k12 / ((1.0 + 2.0 * k11) * root),
        radial_slopes=8.0 / np.pi * (2.0 * c2 * k12 - c1 * (1.0 + 2.0 * k22)) / root**3,
    )


ACTIVATIONS = {"relu": relu, "erf": erf}


@dataclass(frozen=True)
class Kernels:
    """Of inputs x1 and x2, all (n1, n2); those of one input with itself are (n,).

    Attributes
    ----------
    nngp : ndarray
        K, the covariance of the outputs f(x1), f(x2) at the start.
    ntk : ndarray
        Theta, the product of their gradients by all parameters.
    radial : ndarray
        E[g(x1) f(x2)] at the start, with g = theta . grad f: how an output changes as all parameters grow in proportion.
    radial_ntk : ndarray
        The product of the gradients of g(x1) and f(x2).
    """

    nngp: Array
    ntk: Array
    radial: Array
    radial_ntk: Array


def kernels(x1: Array, x2: Array | None, depth: int, activation: str, sigma_w: float, sigma_b: float) -> Kernels:
    """Of `depth` hidden layers, between the rows of x1 (n1, d) and x2 (n2, d); None: x1 again, with the diagonals exactly."""
    others = x1 if x2 is None else x2
    first, second = (_with_itself(x, depth, activation, sigma_w, sigma_b) for x in (x1, others))
    inner = sigma_w**2 * (x1 @ others.T) / x1.shape[1] + sigma_b**2
    layer = Kernels(inner, inner, inner, inner)
    for one, other in zip(first[:-1], second[:-1], strict=True):
        moments = ACTIVATIONS[activation](
            one.nngp[:, None], layer.nngp, other.nngp[None, :], one.radial[:, None], layer.radial
        )
        layer = _next(layer, moments, sigma_w, sigma_b)
    if x2 is None:
        for name, exact in vars(first[-1]).items():
            np.fill_diagonal(getattr(layer, name), exact)
    return layer


def _with_itself(x: Array, depth: int, activation: str, sigma_w: float, sigma_b: float) -> list[Kernels]:
    """Of each row of x (n, d) with itself, (n,), after 0, 1, ..., `depth` hidden layers."""
    inner = sigma_w**2 * np.mean(x**2, axis=1) + sigma_b**2
    layers = [Kernels(inner, inner, inner, inner)]
    for _ in range(depth):
        k, c = layers[-1].nngp, layers[-1].radial
        layers.append(_next(layers[-1], ACTIVATIONS[activation](k, k, k, c, c), sigma_w, sigma_b))
    return layers


def _next(layer: Kernels, moments: Moments, sigma_w: float, sigma_b: float) -> Kernels:
    """One hidden layer more.

    With ``z' = sw W phi(z) / sqrt(width) + sb b``, g' is ``z' + sw W (phi'(z) g) / sqrt(width)``; products of gradients are
    those by W and b, which are the covariance, and those by all below, which go through the derivative of each by z and by g.
    """
    nngp = sigma_w**2 * moments.values + sigma_b**2
    radial = nngp + sigma_w**2 * moments.radial_values
    through = (moments.slopes + moments.radial_slopes) * layer.ntk + moments.slopes * layer.radial_ntk
    return Kernels(
        nngp=nngp,
        ntk=nngp + sigma_w**2 * moments.slopes * layer.ntk,
        radial=radial,
        radial_ntk=radial + sigma_w**2 * through,
    )


def _ratio(numerator: Array, denominator: Array, otherwise: float = 0.0) -> Array:
    """Their ratio, and `otherwise` where the denominator is 0."""
    shape = np.broadcast_shapes(np.shape(numerator), np.shape(denominator))
    return np.divide(numerator, denominator, out=np.full(shape, otherwise), where=np.broadcast_to(denominator > 0.0, shape))
