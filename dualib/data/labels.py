"""What tells labels from counts, where both are numbers, and other evidence on rows and columns of cells."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from dualib.data.sums import names_total
from dualib.data.text import nature, value_of

_CORNERS_OF_ROW_NUMBERS = ("", "unnamed: 0", "index")  # as pandas calls a column that only numbers the rows


def nature_of_labels(labels: Sequence[str]) -> str | None:
    """The nature of labels beside which there may be a total."""
    return nature([label for label in labels if not names_total(label)] or labels)


def has_row_numbers(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first column only numbers the rows, under no name or pandas' own."""
    below = [row[0] for row in rows[1:]]
    return rows[0][0].casefold() in _CORNERS_OF_ROW_NUMBERS and len(rows[0]) > 1 and bool(below) and is_running(below)


def is_running(cells: Sequence[str]) -> bool:
    """Whether the cells are 0, 1, ... or 1, 2, ..."""
    start = int(cells[0] == "1")
    return list(cells) == [str(start + i) for i in range(len(cells))]


def is_rising(cells: Sequence[str]) -> bool:
    """Whether the cells are numbers, each larger than the one before, as sorted labels are."""
    values = [value_of(cell) for cell in cells]
    return None not in values and all(a < b for a, b in itertools.pairwise(values))  # type: ignore[operator]


def is_regular(labels: Sequence[str]) -> bool:
    """Whether numbers rise as labels do and counts hardly ever: four or more, or from 0, or 1 and 2, or in equal steps or ratios."""
    values = [value_of(label) or 0.0 for label in labels]
    if not is_rising(labels) or len(values) > 3 or values[0] == 0.0 or len(values) < 3:
        return is_rising(labels) and (len(values) != 2 or values[0] == 0.0 or values == [1.0, 2.0])
    return values[2] - values[1] == values[1] - values[0] or values[2] * values[0] == values[1] ** 2


def form(label: str) -> str:
    """A label with its letters and digits all alike: labels of one kind often have one form."""
    return re.sub(r"[^\W\d_]", "a", re.sub(r"\d+", "9", label))


def may_be_labels(column: Sequence[str], others: Sequence[Sequence[str]], header: bool) -> bool:
    """Whether whole numbers beside counts may be labels.

    They are running, or rising, or larger than all counts; or, below a header, all different where counts repeat themselves.
    """
    if not all(cell.isdecimal() for cell in column) or len(set(column)) < len(column) or len(column) < 2:
        return False
    if is_running(column) and (len(column) > 3 or column[0] == "0"):
        return True
    if is_rising(column) and len(column) > (2 if header else 3):
        return True
    repeats = header and len(column) > 2 and any(len(set(counts)) < len(counts) for counts in zip(*others, strict=True))
    return repeats or are_larger(column, others)


def are_larger(labels: Sequence[str], counts: Sequence[Sequence[str]]) -> bool:
    """Whether each of the numbers is larger than all counts."""
    known = [value for label in labels if (value := value_of(label)) is not None]
    least = min(known) if len(known) == len(labels) else 0.0
    values = (value_of(cell) for row in counts for cell in row)  # one at a time: mostly the first few tell
    return bool(counts) and all(value is not None and value < least for value in values)
