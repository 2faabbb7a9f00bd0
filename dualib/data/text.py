"""The cells of a text table: decoded, split, and read as numbers; every refusal names the file and the line."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

SPREADSHEET = "export the sheet as CSV"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WITH_COMMA = re.compile(r"[+-]?(\d*,\d+([eE][+-]?\d+)?|\d{1,3}(,\d{3})+(\.\d*)?)", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+", re.ASCII)
_GROUPED = re.compile(r"[+-]?\d{1,3}([ '_\u00a0\u2009\u202f]\d{3})+([.,]\d*)?")
_MISSING = frozenset({"", "na", "n/a", "<na>", "nan", "+nan", "-nan", "null", "none", "-", "?"})
_NO_LABELS = frozenset({"", "NA", "N/A", "<NA>", "NaN", "nan", "NULL"})  # of a sample; "none" and "-" may be symbols
_INFINITE = frozenset({"inf", "+inf", "-inf", "infinity", "+infinity", "-infinity"})


@dataclass
class Cells:
    """The cells of a table, stripped, row by row, and the number of the line where each row begins."""

    name: str
    rows: list[list[str]]
    lines: list[int]
    delimiter: str = ","
    place: str = "line"
    decimal_comma: bool = field(default=False, init=False)

    def refuse(self, reason: str, line: int | None = None) -> NoReturn:
        """ValueError that names the file and, where given, the line."""
        where = f", {self.place} {line}" if line is not None else ""
        raise ValueError(f"path {self.name!r}{where}: {reason}")

    def check_ragged(self) -> None:
        """Refuse rows of different lengths."""
        for row, line in zip(self.rows, self.lines, strict=True):
            if len(row) != len(self.rows[0]):
                self.refuse(f"ragged: {len(row)} cell(s), where {self.place} {self.lines[0]} has {len(self.rows[0])}", line)

    def find_decimal_commas(self, cells: Sequence[Sequence[str]], lines: Sequence[int]) -> None:
        """Note whether numbers between semicolons have decimal commas; refuse what may as well separate thousands."""
        if self.delimiter != ";":
            return
        found = [(cell, line) for row, line in zip(cells, lines, strict=True) for cell in row if "," in cell]
        if not found:
            points = [(cell, line) for row, line in zip(cells, lines, strict=True) for cell in row if "." in cell]
            if points and all(_THOUSANDS.fullmatch(cell.replace(".", ",")) for cell, _ in points):
                self.refuse(
                    f"{points[0][0]!r} may have a decimal point or a thousands separator: write it without", points[0][1]
                )
            return
        first, at = found[0]
        if all(_THOUSANDS.fullmatch(cell) for cell, _ in found):
            self.refuse(f"{first!r} may have a decimal comma or a thousands separator: write it with a point", at)
        for row, line in zip(cells, lines, strict=True):
            for cell in row:
                if "." in cell:
                    self.refuse(f"{cell!r} has a decimal point, but {first!r} in line {at} has a decimal comma", line)
        self.decimal_comma = True

    def number(self, cell: str, line: int, column: str) -> float:
        """The number >= 0 in a cell; `column` is how a refusal calls the column."""
        text = cell.replace(",", ".") if self.decimal_comma and _WITH_COMMA.fullmatch(cell) else cell
        if not _NUMBER.fullmatch(text):
            self._refuse_cell(cell, line, column)
        value = float(text)
        if not 0.0 <= value < float("inf"):
            self.refuse(f"entries must be >= 0 and finite, got {cell}", line)
        return value

    def _refuse_cell(self, cell: str, line: int, column: str) -> NoReturn:
        if cell.casefold() in _MISSING:
            what = repr(cell) if cell else "an empty cell"
            self.refuse(f"a missing value ({what}) in {column}: write 0 if nothing was counted, else leave the row out", line)
        hint = ": write numbers without commas" if "," in cell and nature([cell]) == "number" else ""
        if _GROUPED.fullmatch(cell):
            hint = ": write numbers without separators of thousands"
        if cell.endswith("%"):
            hint = ": write numbers without percent signs"
        other = "" if hint else "; a column of text, other than labels, must be left out"
        self.refuse(f"{cell[:40]!r} is not a finite number{hint} ({column}){other}", line)

    def label(self, cell: str, line: int, what: str) -> str:
        """A sample, as text; refused where it is missing."""
        if cell in _NO_LABELS:
            shown = repr(cell) if cell else "an empty cell"
            self.refuse(
                f"a missing value ({shown}) for {what}: leave the {self.place} out, or give what is missing a name", line
            )
        return cell


def nature(cells: Sequence[str]) -> str | None:
    """Whether cells are "number", "text" or "mixed"; cells for missing and infinite numbers tell nothing, no cells None."""
    present = [cell for cell in set(cells) if cell.casefold() not in _MISSING and cell.casefold() not in _INFINITE]
    kinds = {bool(_NUMBER.fullmatch(cell) or _WITH_COMMA.fullmatch(cell)) for cell in present}
    if len(kinds) == 2:
        return "mixed"
    return None if not cells else "text" if kinds == {False} else "number"


def value_of(cell: str) -> float | None:
    """The number that a label is, or None."""
    text = cell.replace(",", ".") if cell.count(",") == 1 else cell
    return float(text) if _NUMBER.fullmatch(text) else None


def read_text(name: str, raw: bytes, ending: str) -> Cells:
    """Split a file of comma, semicolon or tab separated values into its cells; errors as of `read_table`."""
    cells = Cells(name, [], [])
    text = _decode(cells, raw)
    declared = re.match(r"sep=([,;\t])\r?\n", text)  # Excel's own line
    first = 1
    if declared:
        text, first = text[declared.end() :], 2
    cells.delimiter = declared[1] if declared else "\t" if ending == ".tsv" else _delimiter(text)
    _split(cells, text, first)
    return cells


def _decode(cells: Cells, raw: bytes) -> str:
    if raw[:4] == b"PK\x03\x04" or raw[:8] == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":
        cells.refuse(f"this is a spreadsheet or an archive, whatever its ending: {SPREADSHEET}")
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        cells.refuse(f"byte {raw[error.start]:#04x} is not {encoding[:6].upper().rstrip('-')} text", line)
    if "\x00" in text:
        cells.refuse("a zero byte, so this is not text", text[: text.index("\x00")].count("\n") + 1)
    return text


def _delimiter(text: str) -> str:
    """Find the semicolon where all lines have equally many outside of quotes, or no commas; else comma or tab."""
    bare = [line for line in re.sub(r'"[^"]*"', "", text).splitlines() if line.strip()]
    counts = {line.count(";") for line in bare}
    if bare and ";" in bare[0] and (len(counts) == 1 or "," not in bare[0]):
        return ";"
    return "\t" if bare and "\t" in bare[0] and "," not in bare[0] else ","


def _split(cells: Cells, text: str, line: int) -> None:
    """Fill in the cells of the lines, and their numbers; empty lines may only be at the ends."""
    before, empty = line - 1, 0
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=cells.delimiter, strict=True, skipinitialspace=True)
    try:
        for found in reader:
            row = [cell.strip() for cell in found]
            if not any(row):
                empty = empty or (line if cells.rows else 0)
            elif empty:
                cells.refuse("an empty line inside the table", empty)
            else:
                cells.rows.append(row)
                cells.lines.append(line)
            line = before + reader.line_num + 1
    except csv.Error as error:
        cells.refuse(str(error), line)
    if not cells.rows:
        cells.refuse("the file is empty")
