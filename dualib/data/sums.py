"""Total rows and columns of a table, found by their names and their numbers: left out, or refused where it is not clear."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dualib.data.text import Cells

_NAMES = frozenset(
    (
        *("total", "totals", "grand total", "row total", "sum", "sums", "margin", "margins"),
        *("summe", "gesamt", "insgesamt", "somme", "suma", "totale"),
    )
)
_PANDAS = "all"  # of crosstab(margins=True); also a word
_LEAST_SUM = 10.0  # the largest of unnamed sums is at least this: in tables of small numbers they are there by chance


def names_total(label: str) -> bool:
    """Whether a row or column of this name may hold sums."""
    name = label.casefold().strip(" :")
    return name in _NAMES or name == _PANDAS


def without_sums(
    cells: Cells, values: Any, x_labels: Sequence[str] | None, y_labels: Sequence[str] | None, guessed: bool
) -> tuple[Any, Any, list[str]]:
    """Which rows and which columns hold counts, as two masks, and what to say of those that do not.

    Raises
    ------
    ValueError
        A row or column called a total that is none; or, where the layout is `guessed`, sums without such a name.
    """
    masks, notes = [], []
    for table, labels, what in ((values, x_labels, "row"), (values.T, y_labels, "column")):
        kept = np.ones(len(table), dtype=bool)
        at = _place_of_sums(cells, table, labels, what, guessed)
        if at is not None:
            kept[at] = False
            notes.append(f"the {what} {labels[at]!r} holds sums and is left out")  # type: ignore[index]
        masks.append(kept)
    return masks[0], masks[1], notes


def _place_of_sums(cells: Cells, table: Any, labels: Sequence[str] | None, what: str, guessed: bool) -> int | None:
    if len(table) < 2:
        return None
    for at in (len(table) - 1, 0):
        with np.errstate(over="ignore"):  # an infinite sum is refused elsewhere
            others = np.delete(table, at, axis=0).sum(axis=0)
        is_sum = np.allclose(table[at], others, rtol=1e-9, atol=0.0) and others.any()
        name = labels[at].casefold().strip(" :") if labels else ""
        if is_sum and labels and names_total(labels[at]):
            return at
        if name in _NAMES:
            cells.refuse(
                f"the {what} {labels[at]!r} is not the sum of the others: leave it out if it is a total, else give it another name"  # type: ignore[index]
            )
        whole = (table == np.rint(table)).all() and others.max() >= _LEAST_SUM
        if is_sum and guessed and whole and len(table) > 2 and len(others) > 1:
            shown = f" ({labels[at]!r})" if labels else ""
            place = "last" if at else "first"
            cells.refuse(
                f"the {place} {what}{shown} is the sum of the others, as totals are: leave it out, or say layout='table' "
                "(--layout table) if it holds counts"
            )
    return None
