"""Held-out scores of predicted conditionals (log loss, accuracy, Brier), and the table of them: `Comparison`."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from dualib._validation import Array, as_float_array, as_non_negative, as_probability_rows, shown, validate_choice
from dualib.markup import block, table

if TYPE_CHECKING:
    import os

    import pandas


@dataclass(frozen=True)
class Scores:
    """Mean scores per sample.

    Attributes
    ----------
    log_loss : float
        ``- log p(y|x)``, nats; inf where something that happened was given probability 0.
    accuracy : float
        Share of samples whose y is the likeliest one, the first of equals.
    brier : float
        ``sum_y' (p(y'|x) - [y' = y])^2``, from 0 to 2.
    """

    log_loss: float
    accuracy: float
    brier: float


def score(prediction: npt.ArrayLike, counts: npt.ArrayLike) -> Scores:
    """Scores of predictions on the samples that a table counts.

    Parameters
    ----------
    prediction : array_like, shape (n_x, n_y)
        p(y|x), rows summing to 1.
    counts : array_like, shape (n_x, n_y)
        How often each pair was seen, >= 0, not all 0. A row of zeros counts for nothing.

    Returns
    -------
    Scores

    Raises
    ------
    ValueError, TypeError
        Shapes that differ, rows that are no distributions, bad counts.

    Examples
    --------
    >>> from dualib.predict.scores import score
    >>> score([[0.5, 0.5], [0.0, 1.0]], [[3, 1], [0, 4]])
    Scores(log_loss=0.34657359027997264, accuracy=0.875, brier=0.25)
    """
    table = as_non_negative("counts", counts, 2)
    rows = as_probability_rows("prediction", prediction, table.shape[1])
    if len(rows) != len(table):
        raise ValueError(f"prediction must have one row for each of the {len(table)} rows of counts, got {len(rows)}")
    return scores_of(rows, table)


def scores_of(prediction: Array, counts: Array) -> Scores:
    """`score` of arrays that are known to be good."""
    total, per_row = counts.sum(), counts.sum(axis=1)
    return Scores(
        log_loss=log_loss_of(prediction, counts),
        accuracy=float(counts[np.arange(len(counts)), np.argmax(prediction, axis=1)].sum() / total),
        brier=float((per_row @ np.sum(prediction**2, axis=1) - 2.0 * np.sum(counts * prediction)) / total + 1.0),
    )


def log_loss_of(prediction: Array, counts: Array) -> float:
    """The log loss alone; inf where a counted pair has probability 0."""
    seen = counts > 0.0
    with np.errstate(divide="ignore"):
        return float(-np.sum(counts[seen] * np.log(prediction[seen])) / counts.sum())


WITHOUT_CLUSTERS = ("plug-in", "maxent")  # methods whose prediction goes through no representation
SCORES = ("log_loss", "accuracy", "brier")
MEASURES = ("rate", "relevance", "n_clusters")
COLUMNS = (
    *("method", "beta", "n_train", "split", *SCORES, *MEASURES),
    *("smoothing", "validation_log_loss", "chosen"),
)
At = Literal["choice", "beta", "rate"]
_DTYPES = {"method": np.str_, "n_train": np.int64, "split": np.int64, "n_clusters": np.int64, "chosen": np.bool_}
_Key = tuple[str, int, float]  # method, training size, and the beta or rate (0 at the choice)


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Held-out scores, one row per method, beta, training size and split; the answer of `compare_predictions`.

    Attributes
    ----------
    columns : mapping of str to ndarray, read-only
        ``method, beta, n_train, split``; ``log_loss`` (nats), ``accuracy``, ``brier`` on the test counts; ``rate, relevance`` (nats)
        and ``n_clusters`` of the fitted representation; ``smoothing`` (or penalty) and its ``validation_log_loss``; ``chosen``,
        where the validation part took this beta. ``comparison["log_loss"]`` is one of them.

    Examples
    --------
    >>> import dualib
    >>> contexts = dualib.datasets.load_contexts()
    >>> comparison = dualib.compare_predictions(
    ...     contexts.train_counts, contexts.test_counts, methods=["ib", "plug-in"], betas=[6], smoothing=0.1, n_train=[2000]
    ... )
    >>> sorted(set(comparison["method"].tolist()))
    ['ib', 'plug-in']
    """

    columns: Mapping[str, npt.NDArray[Any]]

    def __post_init__(self) -> None:
        arrays: dict[str, npt.NDArray[Any]] = {
            name: np.array(self.columns[name], dtype=_DTYPES.get(name, np.float64)) for name in COLUMNS
        }
        for array in arrays.values():
            array.flags.writeable = False
        object.__setattr__(self, "columns", MappingProxyType(arrays))

    @classmethod
    def from_rows(cls, rows: Sequence[Mapping[str, Any]]) -> Comparison:
        """From one mapping per row."""
        return cls({name: np.array([row[name] for row in rows]) for name in COLUMNS})

    def __reduce__(self) -> tuple[Any, ...]:
        return (Comparison, (dict(self.columns),))

    def __len__(self) -> int:
        return len(self.columns["beta"])

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        if name not in self.columns:
            raise KeyError(f"{shown(name)}; the columns are {', '.join(COLUMNS)}")
        return self.columns[name]

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods, in the order in which they were asked for."""
        return tuple(dict.fromkeys(self.columns["method"].tolist()))

    @property
    def sizes(self) -> tuple[int, ...]:
        """The training sizes, ascending."""
        return tuple(sorted(set(self.columns["n_train"].tolist())))

    def summary(self, at: At = "choice", rates: npt.ArrayLike | None = None) -> list[dict[str, Any]]:
        """Mean and standard error of the scores over the splits.

        Parameters
        ----------
        at : "choice", "beta" or "rate"
            One row per method and training size, at the beta chosen on the validation part (which may differ between splits); at
            each beta; or at equal rates, scores interpolated linearly in the rate between neighbouring betas, which is what one
            attains by taking either solution at random.
        rates : array_like, optional
            Rates, nats, for ``at="rate"``: by default five between the ends that all methods reach in all splits of a size. One
            that some method does not reach in each split has no row for it.

        Returns
        -------
        list of dict
            ``method, n_train``, the beta or the rate, ``n_splits``; of each score, of rate, relevance and n_clusters the mean, and
            under ``log_loss_se`` and so on its standard error, None where there is one split. At the choice also the median beta and
            smoothing. `pandas.DataFrame` takes it as it is, and shows a standard error that is not there as None or NaN.
        """
        values = self._values(at, rates)
        return [self._averaged(key, at, of_split) for key, of_split in values.items()]

    def against(
        self, reference: str = "plug-in", at: At = "choice", rates: npt.ArrayLike | None = None
    ) -> list[dict[str, Any]]:
        """Mean and standard error over the splits of the difference from a reference method on the same split.

        Parameters
        ----------
        reference : str
            One of `methods`. A method without clusters, which has neither beta nor rate of its own, is the reference for all.
        at, rates
            As in `summary`.

        Returns
        -------
        list of dict
            As `summary`, of the differences of the scores; and ``verdict``: "better" or "worse" where the log loss differs by more
            than two standard errors, else "even"; None where there is no standard error.

        Raises
        ------
        ValueError
            A reference that was not compared.
        """
        if reference not in self.methods:
            raise ValueError(f"reference must be among {', '.join(self.methods)}, got {shown(reference)}")
        values, chosen = self._values(at, rates), self._values("choice", None)
        rows = []
        for (method, size, where), of_split in values.items():
            base = values.get((reference, size, where))
            if base is None and reference in WITHOUT_CLUSTERS:
                base = chosen[(reference, size, 0.0)]
            if method == reference or base is None:
                continue
            differences = {split: of_split[split] - base[split] for split in of_split.keys() & base.keys()}
            if not differences:
                continue
            row = self._averaged((method, size, where), at, differences, SCORES)
            rows.append({**row, "reference": reference, "verdict": _verdict(row["log_loss"], row["log_loss_se"])})
        return rows

    def to_dataframe(self) -> pandas.DataFrame:
        """All columns; needs ``pip install "dualib[pandas]"``."""
        from dualib.data.frames import data_frame

        return data_frame({name: column.tolist() for name, column in self.columns.items()})

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write all columns as a table with a header line."""
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(zip(*(self.columns[name].tolist() for name in COLUMNS), strict=True))

    def plot(self, axes: Any = None, *, score: str = "log_loss", n_train: int | None = None) -> Any:
        """Score against beta, rate and training size; see `dualib.plotting.comparison.plot_comparison`."""
        from dualib.plotting.comparison import plot_comparison

        return plot_comparison(self, axes, score=score, n_train=n_train)

    def __repr__(self) -> str:
        splits = len(set(self.columns["split"].tolist()))
        lines = [
            f"Comparison: {len(self)} rows, {splits} split{'s' * (splits != 1)}; at the beta chosen on the validation part:"
        ]
        lines.append(
            f"  {'n_train':>8}  {'method':<11}{'log loss [nats]':>18}  {'accuracy':>8}  {'brier':>7}  {'rate':>6}  {'beta':>6}"
        )
        for row in sorted(self.summary(), key=lambda row: row["n_train"]):
            lines.append(
                f"  {row['n_train']:>8}  {row['method']:<11}{with_error(row):<18}"
                f"  {row['accuracy']:>8.4f}  {row['brier']:>7.4f}  {row['rate']:>6.3f}  {row['beta']:>6g}"
            )
        single = [str(row["n_train"]) for row in self.summary() if row["log_loss_se"] is None]
        if single:
            sizes = " and ".join(dict.fromkeys(single))
            lines.append(
                f"  one split of {sizes} symbols: no standard error; for one, n_splits > 1 and n_train < that (--splits, --n-train)"
            )
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        title, _, *rest = repr(self).split("\n")
        header = ("n_train", "method", "log loss [nats]", "accuracy", "brier", "rate [nats]", "beta")
        rows = [
            (
                *(row["n_train"], row["method"], with_error(row).strip()),
                *(f"{row['accuracy']:.4f}", f"{row['brier']:.4f}", f"{row['rate']:.3f}", f"{row['beta']:g}"),
            )
            for row in sorted(self.summary(), key=lambda row: row["n_train"])
        ]
        return block(title, [], table(header, rows, "; ".join(line.strip() for line in rest[len(rows) :])))

    def _values(self, at: str, rates: npt.ArrayLike | None) -> dict[_Key, dict[int, Array]]:
        """Scores and measures (6 numbers) by method, size and place, and by split."""
        validate_choice("at", at, ("choice", "beta", "rate"))
        if rates is not None and at != "rate":
            raise ValueError(f"rates goes with at='rate', got at={shown(at)}")
        if at == "rate":
            return self._at_rates(None if rates is None else np.unique(as_float_array("rates", rates, 1)))
        c = self.columns
        table = np.column_stack([c[name] for name in (*SCORES, *MEASURES)]).astype(np.float64)
        found: dict[_Key, dict[int, Array]] = {}
        for i in np.flatnonzero(c["chosen"]) if at == "choice" else range(len(self)):
            key = (str(c["method"][i]), int(c["n_train"][i]), 0.0 if at == "choice" else float(c["beta"][i]))
            found.setdefault(key, {})[int(c["split"][i])] = table[i]
        return found

    def _at_rates(self, rates: Array | None) -> dict[_Key, dict[int, Array]]:
        c = self.columns
        table = np.column_stack([c[name] for name in (*SCORES, *MEASURES)]).astype(np.float64)
        found: dict[_Key, dict[int, Array]] = {}
        for size in self.sizes:
            paths: dict[tuple[str, int], Array] = {}
            for method in (m for m in self.methods if m not in WITHOUT_CLUSTERS):
                mine = (c["method"] == method) & (c["n_train"] == size)
                for split in sorted(set(c["split"][mine].tolist())):
                    rows = np.flatnonzero(mine & (c["split"] == split))
                    paths[method, split] = table[rows[np.argsort(c["rate"][rows], kind="stable")]]
            if not paths:
                continue
            ends = np.array([[path[0, _RATE], path[-1, _RATE]] for path in paths.values()])
            low, high = ends[:, 0].max(), ends[:, 1].min()
            wanted = np.linspace(low, high, 7)[1:-1] if rates is None else rates
            if rates is None and not high > low:
                continue
            for rate in wanted:
                reached = {m for m in self.methods if _reached(paths, m, rate)}
                for (method, split), path in paths.items():
                    if method in reached:
                        found.setdefault((method, size, float(rate)), {})[split] = _interpolated(path, rate)
        return found

    def _averaged(
        self, key: _Key, at: str, of_split: Mapping[int, Array], names: Sequence[str] = (*SCORES, *MEASURES)
    ) -> dict[str, Any]:
        method, size, where = key
        values = np.array([of_split[split] for split in sorted(of_split)])
        row: dict[str, Any] = {"method": method, "n_train": size, "n_splits": len(values)}
        if at != "choice":
            row[at] = where
        for i, name in enumerate(names):
            row[name] = float(values[:, i].mean())
            row[f"{name}_se"] = float(values[:, i].std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
        if at == "rate":
            row["rate"] = where
        if at == "choice" and len(names) > len(SCORES):
            c = self.columns
            mine = (c["method"] == method) & (c["n_train"] == size) & c["chosen"]
            row["beta"], row["smoothing"] = _median(c["beta"][mine]), _median(c["smoothing"][mine])
        return row


def with_error(row: Mapping[str, Any], sign: Literal["", "+"] = "") -> str:
    """A log loss with its standard error, where there is one: " 1.2345 +- 0.0012"."""
    error = "" if row["log_loss_se"] is None else f" +- {row['log_loss_se']:.4f}"
    return f"{row['log_loss']:{sign}8.4f}{error}"


def _verdict(difference: float, error: float | None) -> str | None:
    """What a difference of log losses says; nothing where its standard error is not known."""
    if error is None:
        return None
    return "better" if difference < -2.0 * error else "worse" if difference > 2.0 * error else "even"


_RATE = len(SCORES) + MEASURES.index("rate")


def _reached(paths: Mapping[tuple[str, int], Array], method: str, rate: float) -> bool:
    """Whether every split of a method has rates on both sides of this one."""
    own = [path for (name, _), path in paths.items() if name == method]
    return bool(own) and all(path[0, _RATE] <= rate <= path[-1, _RATE] for path in own)


def _interpolated(path: Array, rate: float) -> Array:
    """The row of a path (n, 6), ascending in rate, at a rate between its ends."""
    return np.array([np.interp(rate, path[:, _RATE], column) for column in path.T])


def _median(values: npt.NDArray[Any]) -> float:
    """The lower median: a value that was indeed chosen, and no difference of infinities."""
    return float(np.sort(values)[(len(values) - 1) // 2])
