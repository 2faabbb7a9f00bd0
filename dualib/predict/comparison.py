"""Held-out prediction by IB, dual IB, dualExpIB and the plain estimate on the same splits: `compare_predictions`."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dualib._validation import (
    Array,
    as_float_array,
    shown,
    validate_betas,
    validate_choice,
    validate_integer,
    validate_open_probability,
)
from dualib.distortions.exponential import as_features
from dualib.doors import door
from dualib.many.workers import in_order, pool_of, value_of
from dualib.predict.predictors import METHODS, OF_FAMILY, Data, Fitted, Options, fit
from dualib.predict.scores import WITHOUT_CLUSTERS, Comparison, log_loss_of, scores_of
from dualib.predict.tables import draw, paired_tables
from dualib.progress import reporter
from dualib.warnings import warn_of_convergence

BETAS = (2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0)


@door
def compare_predictions(
    train_counts: Any,
    test_counts: Any,
    *,
    features: Any = None,
    betas: npt.ArrayLike | None = None,
    methods: Sequence[str] = ("ib", "dualib", "dualib-exp", "plug-in"),
    smoothing: npt.ArrayLike = (0.03, 0.1, 0.3, 1.0),
    l2: npt.ArrayLike = (0.1, 0.3, 1.0, 3.0, 10.0),
    n_train: int | Sequence[int] | None = None,
    n_splits: int = 5,
    validation: float = 0.25,
    prior: str = "marginal",
    decoder: str = "problem",
    assignment: str = "soft",
    rank: int | None = None,
    n_clusters: int | None = None,
    certify: bool = False,
    n_jobs: int | None = None,
    progress: bool = False,
    random_state: int | np.random.Generator | None = None,
) -> Comparison:
    """Held-out scores of the bottlenecks and of the plain estimate, by beta, rate and training size, on the same splits.

    For each training size and split, `n_train` of the training symbols are drawn without replacement, and a part of them is set
    aside for validation. Each method is fitted to the rest with each smoothing at each beta; for each beta the smoothing of
    least log loss on the validation part is taken, and the beta of least validation loss among these is the method's `chosen` one.
    Then it is fitted again to all `n_train` symbols and scored on `test_counts`, which decide nothing. The prediction is ``p(y|x) =
    sum_t p(t|x) p(y|t)``.

    Parameters
    ----------
    train_counts, test_counts : array_like, scipy.sparse matrix, DataFrame, DataArray or CountTable, shape (n_x, n_y)
        Whole numbers, the same x and y in both, row by row and column by column; where there are labels they must say so. A row of
        zeros in `train_counts` is an x without samples: it is predicted from the prior, or by the family from its features. One in
        `test_counts` is not scored. A y never seen in training has the probability that the smoothing gives it.
    features : array_like or scipy.sparse matrix, shape (n_x, d), optional
        A(x), for "dualib-exp" and the other methods of the family. Without them the family is cut from the smoothed conditionals
        (`ExponentialFamily.from_conditionals`), its strength is then the smoothing.
    betas : array_like, optional
        By default 2, 3, 4, 6, 8, 12, 16, 24.
    methods : sequence of str
        "ib", "dualib"; "dualib-exp", the dual IB in the fitted family; "plug-in", the smoothed empirical conditional. Further
        "ib-exp", the IB of the family's conditionals, and "maxent", these conditionals as they are: what the features give
        without any bottleneck.
    smoothing : array_like
        To choose from: mean pseudocount per cell, > 0 (without it one unseen pair makes the log loss infinite). The plug-in, which
        costs nothing, also has three more between each two of them.
    l2 : array_like
        To choose from: penalties > 0 of the family's fit to `features`, in the place of the smoothing.
    n_train : int or sequence of int, optional
        Training sizes; by default all symbols. Of all of them there is one draw and so one split, whatever `n_splits`: the scores
        then have no standard error, and no difference a verdict.
    n_splits : int
        Repetitions of each size, with other draws. Two are the least for a standard error.
    validation : float
        Share of the training symbols that is set aside, in (0, 1).
    prior : "marginal" or "uniform"
        What the pseudocounts are spread like: p(y) of the training symbols, each y counted once more, or evenly.
    decoder : "problem" or "bayes"
    assignment : "soft" or "map"
        As in `Solution.predict_proba`.
    rank : int, optional
        Number of features of the family when none are given, by default 5 (or as many as there can be).
    n_clusters : int, optional
        Start with at most so many clusters, at sources drawn by p(x): faster, where n_x is in the thousands.
    certify : bool
        False: sweeps to a residual of 1e-2, from large beta to small; `n_clusters` of the rows may count clusters that have yet
        to merge. True: each point solved by `anneal`, to a gap of 1e-9, many times slower; the start of `n_clusters` is not used.
    n_jobs : int, optional
        Fits at a time, as in joblib and scikit-learn: None is 1 unless ``joblib.parallel_config`` says otherwise, -1 all cores. The
        result is the same for all, bit for bit. Needs the extra `parallel` where it is not 1.
    progress : bool
        A progress line on stderr.
    random_state : int, Generator or None
        Seed of the draws; None is a fixed seed.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError, TypeError
        A bad argument, named with its value: tables of different x or y (see Notes), counts that are not whole or all zero, an
        unknown method, sizes beyond the number of symbols.
    ImportError
        `n_jobs` is not 1, and joblib is not installed.

    Warns
    -----
    ConvergenceWarning
        One for all fits that missed their tolerance, with the first of them.

    Notes
    -----
    Methods without clusters have one row each, at beta = inf: their rate is that of the partition into distinct conditionals.

    Rows that are examples, others in `train_counts` than in `test_counts`, cannot be compared so, and are refused where that shows:
    by labels or shapes that differ; without labels, by a single count in every row of both tables, or by no row that has counts in
    both (but with `features`, that is how to compare on unseen x). Use an estimator or `Solution.predict_proba` for them.

    Examples
    --------
    >>> import dualib
    >>> contexts = dualib.datasets.load_contexts()
    >>> result = dualib.compare_predictions(contexts.train_counts, contexts.test_counts, methods=("ib", "plug-in"),
    ...                                     betas=[6, 8, 12], n_train=2000, n_splits=3)
    >>> [(row["method"], row["n_train"]) for row in result.summary()]
    [('ib', 2000), ('plug-in', 2000)]
    """
    train, test = paired_tables(train_counts, test_counts, features)
    names = _methods(methods)
    grid = tuple(sorted(set(validate_betas(BETAS if betas is None else betas))))
    options = Options(
        _features(features, len(train)),
        _rank(rank, train.shape),
        validate_choice("prior", prior, ("marginal", "uniform")),
        validate_choice("decoder", decoder, ("problem", "bayes")),
        validate_choice("assignment", assignment, ("soft", "map")),
        None if n_clusters is None else validate_integer("n_clusters", n_clusters, 1),
        bool(certify),
    )
    strengths = {"smoothing": _positive("smoothing", smoothing), "l2": _positive("l2", l2)}
    strengths["plug-in"] = _refined(strengths["smoothing"])
    sizes = _sizes(n_train, int(train.sum()))
    share = validate_open_probability("validation", validation)
    splits = validate_integer("n_splits", n_splits, 1)
    seed = _seed(random_state)
    tasks = [
        (size, split, group)
        for size in sizes
        for split in range(1 if _has_one_draw(train, size) else splits)
        for group in _groups(names)
    ]
    pool = pool_of(n_jobs)
    report = reporter(bool(progress), "compare")
    report.expect(len(tasks))
    work = functools.partial(_split, train, test, strengths, grid, options, share, seed)
    rows: list[dict[str, Any]] = []
    missed: list[str] = []
    with report, contextlib.closing(in_order(pool, work, tasks)) as outcomes:
        for outcome in outcomes:
            rows += value_of(outcome)
            missed += outcome.messages
            report.step()
    if missed:
        warn_of_convergence(f"{len(missed)} fits missed their tolerance, the first: {missed[0]}", stacklevel=3)
    rows.sort(key=lambda row: (sizes.index(row["n_train"]), row["split"], names.index(row["method"])))
    return Comparison.from_rows(rows)


def _has_one_draw(train: Array, size: int) -> bool:
    """Whether every draw of `size` symbols without replacement is the same: all of them, or all of one pair (x, y)."""
    return size == train.sum() or np.count_nonzero(train) == 1


def _groups(names: Sequence[str]) -> list[tuple[str, ...]]:
    """The methods that make one task each: those of the family together, as they share its fits."""
    family = tuple(name for name in names if name in OF_FAMILY)
    return [(name,) for name in names if name not in OF_FAMILY] + [family] * bool(family)


def _split(
    train: Array,
    test: Array,
    strengths: dict[str, tuple[float, ...]],
    betas: Sequence[float],
    options: Options,
    share: float,
    seed: int,
    size: int,
    split: int,
    names: Sequence[str],
) -> list[dict[str, Any]]:
    """The rows of some methods for one draw, which depends on seed, size and split only."""
    rng = np.random.default_rng([seed, size, split])
    drawn = draw(rng, train, size)
    held_out = draw(rng, drawn, min(max(round(share * size), 1), size - 1))
    start = int(rng.integers(2**31))
    kept, whole = Data(drawn - held_out), Data(drawn)
    rows = []
    for name in names:
        by_penalty = name in OF_FAMILY and options.features is not None
        tried = strengths["l2" if by_penalty else "plug-in" if name == "plug-in" else "smoothing"]
        for row in _rows(name, kept, held_out, whole, test, tried, betas, options, start):
            rows.append({"method": name, "n_train": size, "split": split, **row})
    return rows


def _rows(
    name: str,
    kept: Data,
    held_out: Array,
    whole: Data,
    test: Array,
    strengths: Sequence[float],
    betas: Sequence[float],
    options: Options,
    seed: int,
) -> Iterator[dict[str, Any]]:
    """One row per beta: the strength chosen on the validation part, fitted again to all that was drawn, scored on the test."""
    tried = [fit(name, kept, strength, betas, options, seed) for strength in strengths]
    losses = np.array([[log_loss_of(fitted.prediction, held_out) for fitted in path] for path in tried])
    best = np.argmin(losses, axis=0)  # of the strengths, for each beta
    least = losses[best, np.arange(losses.shape[1])]
    again = _refitted(name, whole, strengths, betas, options, seed, best)
    for i, fitted in enumerate(again):
        scores = scores_of(fitted.prediction, test)
        yield {
            "beta": fitted.beta,
            "smoothing": strengths[best[i]],
            "validation_log_loss": float(least[i]),
            "chosen": bool(i == np.argmin(least)),
            "log_loss": scores.log_loss,
            "accuracy": scores.accuracy,
            "brier": scores.brier,
            "rate": fitted.rate,
            "relevance": fitted.relevance,
            "n_clusters": fitted.n_clusters,
        }


def _refitted(
    name: str,
    whole: Data,
    strengths: Sequence[float],
    betas: Sequence[float],
    options: Options,
    seed: int,
    best: npt.NDArray[np.int64],
) -> list[Fitted]:
    """Fits to all that was drawn, for each beta with its own strength; each path from the largest beta down, as in the choice."""
    if name in WITHOUT_CLUSTERS:
        return fit(name, whole, strengths[best[0]], betas, options, seed)
    result: dict[int, Fitted] = {}
    for strength in np.unique(best):
        lowest = int(np.flatnonzero(best == strength)[0])
        path = fit(name, whole, strengths[strength], betas[lowest:], options, seed)
        result.update({int(i): path[i - lowest] for i in np.flatnonzero(best == strength)})
    return [result[i] for i in range(len(betas))]


def _features(features: Any, n_x: int) -> Any:
    if features is None:
        return None
    matrix = as_features("features", features)
    if matrix.shape[0] != n_x:
        raise ValueError(f"features must have one row for each of the {n_x} x, got shape {matrix.shape}")
    return matrix


def _methods(methods: Sequence[str]) -> tuple[str, ...]:
    names = (methods,) if isinstance(methods, str) else tuple(methods)
    if not names:
        raise ValueError("methods must name at least one method, got none")
    for name in names:
        if name not in METHODS:
            raise ValueError(f"methods must be among {', '.join(METHODS)}, got {shown(name)}")
    return tuple(dict.fromkeys(names))


def _positive(name: str, values: npt.ArrayLike) -> tuple[float, ...]:
    array = as_float_array(name, np.atleast_1d(np.asarray(values)), 1)
    if not (array > 0.0).all():
        raise ValueError(f"{name} must be > 0, got {float(array[array <= 0.0][0])!r}: unseen pairs would have probability 0")
    return tuple(sorted({float(value) for value in array}))


def _refined(values: tuple[float, ...]) -> tuple[float, ...]:
    """With three more, in geometric steps, between each two: the plug-in costs nothing, and is to be beaten at its best."""
    exact = set(values)
    return tuple(sorted(exact.union(*(np.geomspace(a, b, 5)[1:-1].tolist() for a, b in itertools.pairwise(values)))))


def _sizes(n_train: int | Sequence[int] | None, total: int) -> tuple[int, ...]:
    given = [total] if n_train is None else n_train if isinstance(n_train, (list, tuple, np.ndarray)) else [n_train]
    if not len(given):
        raise ValueError("n_train must hold at least one size, got none")
    sizes = sorted({validate_integer("n_train", size, 2) for size in given})
    if sizes[-1] > total:
        raise ValueError(f"n_train must be at most the number of training symbols, {total}, got {sizes[-1]}")
    return tuple(sizes)


def _rank(rank: int | None, shape: tuple[int, ...]) -> int:
    most = min(shape) - 1
    if rank is None:
        return max(min(5, most), 1)
    if validate_integer("rank", rank, 1) > most:
        raise ValueError(f"rank must be at most min(n_x, n_y) - 1 = {most}, got {rank}")
    return int(rank)


def _seed(random_state: int | np.random.Generator | None) -> int:
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31))
    return 0 if random_state is None else validate_integer("random_state", random_state, 0)
