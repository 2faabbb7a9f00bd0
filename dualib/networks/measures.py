"""Rate and relevance of one layer by each estimator, with the model of bins or of noise that it stands for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from dualib._validation import Array, shown, validate_integer
from dualib.information.entropies import entropy_of, mutual_information_of
from dualib.networks.arrays import as_positive
from dualib.networks.estimators import binned, kde_bounds_by_class, ksg, squared_distances

OTHER_LIMITS = 0.01  # share of activations beyond the bins from which on a plane says so


class Measure(NamedTuple):
    """Of one layer, in nats; `rate_bounds` and `relevance_bounds` where the estimator bounds them."""

    rate: float
    relevance: float
    rate_bounds: tuple[float, float] | None = None
    relevance_bounds: tuple[float, float] | None = None


Measuring = Callable[[Array, Array], Measure]  # activations (n, units) and p(y|x) (n, n_y)


class Model(NamedTuple):
    """An estimator with its options: how it is called in titles, and the function."""

    title: str
    measure: Measuring
    limits: tuple[float, float] = (-np.inf, np.inf)  # of the activations that the bins cover


def _binned(bins: int = 30, limits: tuple[float, float] = (-1, 1)) -> Model:
    n_edges = validate_integer("bins", bins, 2)

    def measure(rows: Array, py_x: Array) -> Measure:
        return measure_symbols(binned(rows, n_edges, limits), py_x)

    return Model(f"{n_edges} bins on [{limits[0]:g}, {limits[1]:g}]", measure, limits)


def measure_symbols(symbols: Any, py_x: Array) -> Measure:
    """H(T) and I(T;Y) of a function of equally likely x, given as symbols (n,)."""
    joint = np.zeros((symbols.max() + 1, py_x.shape[1]))
    np.add.at(joint, symbols, py_x / len(py_x))
    share = np.bincount(symbols) / len(symbols)
    return Measure(entropy_of(share), mutual_information_of(joint[:, joint.any(axis=0)]))


def _kde(noise: float) -> Model:
    variance = as_positive("noise", noise)

    def measure(rows: Array, py_x: Array) -> Measure:
        n = len(rows)
        py = py_x.mean(axis=0)
        live = py > 0.0
        given_y = py_x[:, live] / (n * py[live])
        bounds = kde_bounds_by_class(rows, variance, np.column_stack([np.full(n, 1.0 / n), given_y]))
        lower, upper = bounds[0]
        most = mutual_information_of(py_x[:, live] / n)  # by data processing
        within_lower, within_upper = py[live] @ bounds[1:]
        return Measure(
            rate=float(upper),
            relevance=max(0.0, float(upper - within_upper)),
            rate_bounds=(float(lower), float(upper)),
            relevance_bounds=(max(0.0, float(lower - within_upper)), min(most, float(upper - within_lower))),
        )

    return Model(f"kernel density, noise variance {variance:g}", measure)


def _info_nce(noise: float, random_state: int = 0) -> Model:
    variance = as_positive("noise", noise)

    def measure(rows: Array, py_x: Array) -> Measure:
        n = len(rows)
        drawn = rows + np.sqrt(variance) * np.random.default_rng(random_state).standard_normal(rows.shape)
        py = py_x.mean(axis=0)
        live = py > 0.0
        weights = np.column_stack([np.full(n, 1.0 / n), py_x[:, live] / (n * py[live])])
        rate = relevance = 0.0
        for block, squares in squared_distances(drawn, rows):
            own = np.sum((drawn[block] - rows[block]) ** 2, axis=1)
            nearest = squares.min(axis=1, keepdims=True)  # the largest density is 1, so that no mixture vanishes
            density = np.log(np.maximum(np.exp(-0.5 / variance * (squares - nearest)) @ weights, np.finfo(float).tiny))
            rate += float(np.sum(-0.5 / variance * (own - nearest[:, 0]) - density[:, 0]))
            relevance += float(np.sum(py_x[block][:, live] * (density[:, 1:] - density[:, :1])))
        return Measure(rate / n, relevance / n)

    return Model(f"one draw per input, noise variance {variance:g}", measure)


def _ksg(noise: float, k: int = 4, repeats: int = 8, random_state: int = 0) -> Model:
    variance = as_positive("noise", noise)
    copies = validate_integer("repeats", repeats, validate_integer("k", k, 1) + 1)

    def measure(rows: Array, py_x: Array) -> Measure:
        rng = np.random.default_rng(random_state)
        source = np.repeat(np.arange(len(rows)), copies)
        drawn = rows[source] + np.sqrt(variance) * rng.standard_normal((len(source), rows.shape[1]))
        chosen = np.sum(rng.random((len(source), 1)) > np.cumsum(py_x, axis=1)[source, :-1], axis=1)
        return Measure(ksg(source, drawn, k), ksg(chosen, drawn, k))

    return Model(f"{k} neighbours, {copies} draws per input, noise variance {variance:g}", measure)


_MODELS: dict[str, Callable[..., Model]] = {"binned": _binned, "kde": _kde, "ksg": _ksg, "info_nce": _info_nce}


def model_of(estimator: str, options: dict[str, Any]) -> Model:
    """The estimator of this name with its options.

    Raises
    ------
    ValueError
        No such estimator; noise that is missing or not positive.
    TypeError
        An option that it does not have.
    """
    if estimator not in _MODELS:
        raise ValueError(f"estimator must be one of {sorted(_MODELS)}, got {shown(estimator)}")
    if estimator != "binned" and "noise" not in options:
        raise ValueError(f"estimator {estimator!r} needs noise, the variance added to every activation; there is no default")
    return _MODELS[estimator](**options)
