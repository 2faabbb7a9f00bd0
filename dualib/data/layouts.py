"""What the cells of a text table are: which layout, where its labels are, and which of its rows and columns are sums.

Three layouts: "table", rows x and columns y; "samples", two columns, x and y of each sample; "long", three columns, x, y and how
often. What is not given is guessed from the cells. A guess is made only where nothing else is likely, and is said; where a header,
an index or a Total may as well be counts, the table is refused with the argument that decides it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from dualib.data.labelled import names_labels
from dualib.data.labels import (
    are_larger,
    form,
    has_row_numbers,
    is_regular,
    is_rising,
    may_be_labels,
    nature_of_labels,
)
from dualib.data.samples import Symbols, pair_counts
from dualib.data.sums import names_total, without_sums
from dualib.data.text import Cells, nature, value_of

Labels = tuple[str, ...] | None
_COUNT_NAMES = """
count counts n number freq frequency times occurrences spikes size value values
weight weights probability prob p pxy
"""


class Arranged(NamedTuple):
    """Numbers and labels of a table, and how they were found."""

    counts: Any
    x_labels: Labels
    y_labels: Labels
    guess: str


def arranged(cells: Cells, header: bool | None, index: bool | None, layout: str) -> Arranged:
    """The table in the cells; errors as of `dualib.read_table`."""
    if header is not False and index is not False and _is_short_header(cells.rows):
        cells.rows[0].insert(0, "")
    cells.check_ragged()
    kind = layout if layout != "auto" else "table" if index is True else _guessed_layout(cells)
    if kind != "table":
        return _pairs(cells, header, index, kind == "long", layout == "auto")
    return _table(cells, header, index, layout == "auto")


# -- which layout -----------------------------------------------------------------------------------------------------------


def _guessed_layout(cells: Cells) -> str:
    first = int(has_row_numbers(cells.rows))
    head = cells.rows[0][first:]
    if len(head) not in (2, 3) or len(cells.rows) == 1 or (not first and not head[0]):
        return "table"
    columns = [[row[j] for row in cells.rows] for j in range(first, first + len(head))]
    return _of_two_columns(cells, columns) if len(head) == 2 else _of_three_columns(cells, columns)


def _of_two_columns(cells: Cells, columns: list[list[str]]) -> str:
    x, y = columns
    above, below = nature([x[0], y[0]]), (nature(x[1:]), nature(y[1:]))
    if nature(y) == "text" or (below[1] == "mixed" and below[0] in ("text", "mixed")):
        return "samples"
    if below[0] in ("text", "mixed") and below[1] == "number" and nature(x[:1]) == "text":
        if len(set(x[1:])) < len(x) - 1 and y[0].casefold() not in _COUNT_NAMES.split():
            return "samples"
        _refuse_layout(
            cells, "labels and numbers: a table with a single y, which tells nothing of x, or samples", "table", "samples"
        )
    if below == ("number", "number"):
        rows = list(zip(x, y, strict=True))[int(above == "text") :]
        named = above == "text" and (x[0].casefold(), y[0].casefold()) == ("x", "y")
        if named or len(set(rows)) < len(rows) or any(value_of(a) == value_of(b) == 0.0 for a, b in rows):
            _refuse_layout(cells, "two columns of numbers: a table with two y, or samples of x and y", "table", "samples")
    return "table"


def _of_three_columns(cells: Cells, columns: list[list[str]]) -> str:
    x, y, counts = columns
    if nature(counts[1:]) != "number":
        return "table"
    if nature(y) == "text":
        return "long"
    named = nature([x[0], y[0]]) == "text" and (counts[0].casefold() in _COUNT_NAMES.split() or counts[0] == "0")
    if named:
        return "long"
    pairs = list(zip(x, y, strict=True))[int(nature([x[0], y[0]]) == "text") :]
    if nature(x[1:]) == nature(y[1:]) == "number" and _is_grid(pairs):
        _refuse_layout(
            cells, "three columns of numbers: a table with three y, or a long one of x, y and counts", "table", "long"
        )
    return "table"


def _is_grid(pairs: Sequence[tuple[str, str]]) -> bool:
    """Whether pairs of numbers are sorted and different, with each part given again: as the rows of a long table are."""
    values = [(value_of(a) or 0.0, value_of(b) or 0.0) for a, b in pairs]  # what is missing is refused later
    again = all(len({pair[k] for pair in values}) < len(values) for k in (0, 1))
    return len(values) >= 4 and again and all(a < b for a, b in itertools.pairwise(values))


def _refuse_layout(cells: Cells, what: str, *layouts: str) -> NoReturn:
    words = " or ".join(f"layout={layout!r}" for layout in layouts)
    cells.refuse(f"cannot tell what this is, {what}: say {words} (--layout {' or '.join(layouts)})")


def _is_short_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first line names the columns but not the column of row names, as R writes it."""
    body = [row[0] for row in rows[1:]]
    if not body or any(len(row) != len(rows[0]) + 1 for row in rows[1:]):
        return False
    return nature(body) == "text" or (nature(rows[0]) == "text" and body == [str(1 + i) for i in range(len(body))])


# -- samples and long tables ------------------------------------------------------------------------------------------------


def _pairs(cells: Cells, header: bool | None, index: bool | None, weighted: bool, guessed: bool) -> Arranged:
    """Counts of the pairs in two columns, or with the numbers in a third."""
    wanted = 3 if weighted else 2
    width = len(cells.rows[0])
    first = int(width == wanted + 1 and (index is True or (index is None and has_row_numbers(cells.rows))))
    if width - first != wanted:
        what = "'long' has three columns, x, y and counts" if weighted else "'samples' has two columns, x and y"
        cells.refuse(f"layout={what}, got {width} columns")
    told = header is not None and not guessed
    if header is None:
        header = _is_head_of_pairs([row[first:] for row in cells.rows], first)
    rows, lines = [row[first:] for row in cells.rows[int(header) :]], cells.lines[int(header) :]
    if not rows:
        cells.refuse("there are no samples, only a header")
    x, y = (_symbols([cells.label(row[k], line, "xy"[k]) for row, line in zip(rows, lines, strict=True)]) for k in (0, 1))
    weights = None
    if weighted:
        cells.find_decimal_commas([row[2:] for row in rows], lines)
        weights = np.array([cells.number(row[2], line, "the column of counts") for row, line in zip(rows, lines, strict=True)])
    parts = ["read as a long table, columns x, y and counts" if weighted else "read as samples, columns x and y"]
    parts += [f"{_ordinal(cells, 0)} is {'a header' if header else 'no header'}"]
    parts += ["the first column numbers the rows and is left out"] * first
    return Arranged(pair_counts(x, y, weights), x.labels, y.labels, "" if told else ", ".join(parts))


def _is_head_of_pairs(rows: Sequence[Sequence[str]], numbered: int) -> bool:
    """Whether the first row names the columns: text over numbers, or what is in its column nowhere else."""
    head, below = rows[0], list(zip(*rows[1:], strict=True))
    if numbered or not below:
        return bool(numbered)
    over_numbers = [nature([cell]) == "text" and nature(column) == "number" for cell, column in zip(head, below, strict=True)]
    if any(over_numbers):
        return True
    again = any(cell in column for cell, column in zip(head[:2], below[:2], strict=True))
    if len(head) == 3:
        return head[2] == "0" and not again and nature(head[:2]) == "text"  # pandas' name of a column without one
    return not again and nature(head) == "text"


def _symbols(texts: Sequence[str]) -> Symbols:
    """Texts as symbols, sorted as numbers where all are."""
    values = {text: value_of(text) for text in set(texts)}
    numeric = None not in values.values()
    states = sorted(values, key=lambda text: (values[text] if numeric else 0.0, text))  # type: ignore[arg-type, return-value]
    numbers = {state: i for i, state in enumerate(states)}
    return Symbols(tuple(states), np.array([numbers[text] for text in texts], dtype=np.int64))


# -- tables -----------------------------------------------------------------------------------------------------------------


def _table(cells: Cells, header: bool | None, index: bool | None, guessed: bool) -> Arranged:
    """Numbers and labels of rows x and columns y, without sums."""
    notes, told = [], header is not None and index is not None and not guessed
    if header is None:
        header = _has_header(cells, index)
    first = 0
    if index is None:
        first = int(header and has_row_numbers(cells.rows) and _labels_come_second(cells))
        index = bool(first) or _has_index(cells, header)
    rows, lines = [row[first:] for row in cells.rows], cells.lines[int(header) :]
    body = rows[int(header) :]
    if not body or len(body[0]) == int(index):
        cells.refuse("there are no numbers, only labels: header=False (--header no) if the first line holds counts")
    numbers = [row[int(index) :] for row in body]
    y_labels = rows[0][int(index) :] if header else None
    x_labels = [row[0] for row in body] if index else None
    cells.find_decimal_commas(numbers, lines)
    names = [f"column {label!r}" for label in y_labels] if y_labels else [f"column {j + 1}" for j in range(len(rows[0]))]
    values = np.array(
        [
            [cells.number(c, line, name) for c, name in zip(row, names, strict=False)]
            for row, line in zip(numbers, lines, strict=True)
        ]
    )
    if not told:
        notes += [f"{_ordinal(cells, 0)} is {'a header' if header else 'no header'}"]
        notes += [f"the {'second' if first else 'first'} column {'holds labels' if index else 'holds no labels'}"]
        notes += ["the first column numbers the rows and is left out"] * first
    _check_distinct(cells, x_labels, y_labels, lines)
    in_rows, in_columns, sums = without_sums(cells, values, x_labels, y_labels, guessed)
    guess = "read as a table, " + ", ".join(notes + sums) if notes or sums else ""
    return Arranged(values[np.ix_(in_rows, in_columns)], _kept(x_labels, in_rows), _kept(y_labels, in_columns), guess)


def _kept(labels: Sequence[str] | None, mask: Any) -> Labels:
    return None if labels is None else tuple(label for label, kept in zip(labels, mask, strict=True) if kept)


def _ordinal(cells: Cells, row: int) -> str:
    return f"{cells.place} {cells.lines[row]}"


def _say(argument: str) -> str:
    return f"say {argument}=True or {argument}=False (--{argument} yes or no)"


def _has_header(cells: Cells, index: bool | None) -> bool:
    """Whether the first row names the columns."""
    rows, at = cells.rows, cells.lines[0]
    corner, below = rows[0][0], [row[0] for row in rows[1:]]
    across = rows[0] if index is False or len(rows[0]) == 1 else rows[0][1:]
    if index is not False and len(rows[0]) > 1 and not corner:
        return True
    kind = nature_of_labels(across)
    if index is not False and len(rows[0]) > 1 and kind == "text" and nature([corner]) == "number" and index is not True:
        kind = "mixed"
    if kind == "mixed":
        if has_row_numbers(rows) and nature([row[1] for row in rows[1:]]) == "text":
            return True
        odd = next(cell for cell in rows[0] if nature([cell]) == "text")
        cells.refuse(
            f"text ({odd[:40]!r}) mixed with numbers: if this line is a header, empty its first cell, or {_say('header')}", at
        )
    if kind == "text":
        return True
    if nature([corner]) == "number" or index is False:
        if _may_be_header(cells, across if index else rows[0]):
            _refuse_header(cells, rows[0])
        return False
    return _is_header_over_labels(cells, corner, across, below)


def _is_header_over_labels(cells: Cells, corner: str, across: Sequence[str], below: Sequence[str]) -> bool:
    """Whether text and then numbers are a header: the name of the labels, and y labels that are numbers."""
    kind = nature_of_labels(below)
    across, below = ([label for label in labels if not names_total(label)] for labels in (across, below))
    if kind == "number":
        if not re.match(r"[^\W\d]", corner):
            text = f"{corner[:40]!r} is not a finite number (the name of a column begins with a letter)"
            cells.refuse(text, cells.lines[0])
        return True
    if kind == "mixed":
        return True  # and what is below is labels, or refused
    named = names_labels(corner)
    forms = {form(label) for label in below}
    alike, unlike = forms == {form(corner)}, len(forms) == 1 and forms != {form(corner)}
    distinct = len(set(across)) == len(across)
    if below and distinct and not alike and (named or unlike or is_regular(across)):
        return True
    if below and named and is_rising(across):
        return True
    if not named and (not distinct or (alike and not is_rising(across))):
        return False
    _refuse_header(cells, cells.rows[0])


def _may_be_header(cells: Cells, first: Sequence[str]) -> bool:
    """Whether numbers over numbers rise, as sorted labels do, or are larger than all below; not if with them it is probabilities."""
    rising = is_rising(first) and (len(first) > 2 or value_of(first[0]) == 0.0)
    if len(first) < 2 or not (rising or are_larger(first, [row[-len(first) :] for row in cells.rows[1:]])):
        return False
    values = [[value_of(cell) for cell in row] for row in cells.rows]
    if any(value is None for row in values for value in row):
        return all(nature([cell]) == "number" for row in cells.rows for cell in row)  # a slip is refused as such
    table = np.array(values, dtype=float)
    return not (abs(table.sum() - 1.0) <= 1e-6 or (np.abs(table.sum(axis=1) - 1.0) <= 1e-6).all())


def _refuse_header(cells: Cells, row: Sequence[str]) -> NoReturn:
    cells.refuse(f"cannot tell whether {','.join(row[:3])[:60]}... is a header or counts: {_say('header')}", cells.lines[0])


def _has_index(cells: Cells, header: bool) -> bool:
    """Whether the first column has the labels of the rows."""
    rows = cells.rows
    column = [row[0] for row in rows[int(header) :]]
    corner, across, kind = rows[0][0], nature_of_labels(rows[0][1:]), nature_of_labels(column)
    if len(rows[0]) == 1 or not column:
        return kind == "text" or (header and not corner)
    if kind == "text" or (header and (not corner or any(map(names_total, column)))):
        return True
    if kind == "mixed":
        texts = [i for i, cell in enumerate(column) if nature([cell]) == "text"]
        if header and 2 * len(texts) >= len(column):
            return True
        advice = f"if these are labels, put a header with an empty first cell above them, or {_say('index')}"
        at = cells.lines[texts[0] + int(header)]
        cells.refuse(f"text ({column[texts[0]][:40]!r}) mixed with numbers in the first column: {advice}", at)
    if header and nature([corner]) == "text" and (across == "number" or names_labels(corner)):
        return True
    others = [row[1:] for row in rows[int(header) :]]
    if may_be_labels(column, others, header):
        cells.refuse(
            f"cannot tell whether {','.join(column[:3])}... below each other are labels or counts: {_say('index')}",
            cells.lines[0],
        )
    return False


def _labels_come_second(cells: Cells) -> bool:
    """Whether the labels are in the column after one that numbers the rows."""
    head, column = cells.rows[0][1:], [row[1] for row in cells.rows[1:]]
    if len(head) < 2:
        return False
    if nature(column) == "text" or any(map(names_total, column)) or (nature(column) == "mixed" and nature(head) == "text"):
        return True
    named = nature(head[:1]) == "text"
    if named and (nature_of_labels(head[1:]) == "number" or head[0].casefold().startswith("unnamed")):
        return True
    if named and names_labels(head[0]) and len(set(column)) == len(column):
        return True
    if named and may_be_labels(column, [row[2:] for row in cells.rows[1:]], True):
        advice = (
            "say index=True and layout='table' (--index yes --layout table) if they are counts, else remove the first column"
        )
        cells.refuse(
            f"cannot tell whether {','.join(column[:3])}... in column {head[0]!r} are labels or counts: {advice}",
            cells.lines[0],
        )
    return False


def _check_distinct(
    cells: Cells, x_labels: Sequence[str] | None, y_labels: Sequence[str] | None, lines: Sequence[int]
) -> None:
    for labels, places, what in ((x_labels, lines, cells.place), (y_labels, range(1, 1 << 60), "column")):
        first: dict[str, int] = {}
        for label, place in zip(labels or (), places, strict=False):
            if label in first:
                advice = "add them up, or name them apart; layout='long' (--layout long) if this is x, y and counts"
                cells.refuse(f"the label {label[:40]!r} twice, in {what}s {first[label]} and {place}: {advice}")
            first[label] = place
