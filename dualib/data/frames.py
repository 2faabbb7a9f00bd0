"""What pandas does where it is installed: sheets and parquet files as the cells of a text table, and columns as a DataFrame."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dualib._validation import is_missing
from dualib.data.archives import UNREADABLE
from dualib.data.samples import text_of
from dualib.data.text import Cells

if TYPE_CHECKING:
    import pandas

FRAMES = {  # by ending, what pandas needs to read it; one of each is enough
    ".xlsx": ("openpyxl", "calamine"),
    ".xlsm": ("openpyxl", "calamine"),
    ".xls": ("xlrd", "calamine"),
    ".ods": ("odf", "calamine"),
    ".parquet": ("pyarrow", "fastparquet"),
    ".feather": ("pyarrow",),
}
_DISTRIBUTION = {"odf": "odfpy", "calamine": "python-calamine"}
_SHEETS = (".xlsx", ".xlsm", ".xls", ".ods")


def read_frame(name: str, ending: str, otherwise: str) -> tuple[Cells, bool | None, bool | None]:
    """The cells of a file, and True where it is known that their first row is a header, or their first column an index.

    Raises
    ------
    OSError
        The file is missing or cannot be read.
    ValueError
        pandas is not installed, or what it needs: `otherwise`, and what to install; or the file is no such one.
    """
    if importlib.util.find_spec("pandas") is None or not any(map(_is_installed, FRAMES[ending])):
        package = _DISTRIBUTION.get(FRAMES[ending][0], FRAMES[ending][0])
        extra = ', as the extra "tables" does' if package in ("openpyxl", "pyarrow") else ""
        raise ValueError(f"{otherwise}, or install pandas and {package}, which read it{extra} (pip install pandas {package})")
    with open(name, "rb"):  # a missing file is called so, whatever pandas makes of it
        pass
    try:
        rows, indexed = (_sheet(name), None) if ending in _SHEETS else _frame(name, ending)
    except (*UNREADABLE, OSError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"path {name!r} cannot be read by pandas: {reason[:200]}") from error
    while rows and not any(rows[-1]):
        rows.pop()
    if not rows or not rows[0]:
        raise ValueError(f"path {name!r}: the table is empty")
    return Cells(name, rows, list(range(1, len(rows) + 1)), place="row"), None if ending in _SHEETS else True, indexed


def _is_installed(package: str) -> bool:
    module = "python_calamine" if package == "calamine" else package
    return importlib.util.find_spec(module) is not None


def _sheet(name: str) -> list[list[str]]:
    """The first sheet as it stands."""
    import pandas

    frame = pandas.read_excel(name, header=None, dtype=object)
    return [[_cell(value) for value in row] for row in frame.itertuples(index=False, name=None)]


def _frame(name: str, ending: str) -> tuple[list[list[str]], bool | None]:
    """Names of the columns, then the rows, and whether the index is before them, as where it is not just their numbers."""
    import pandas

    frame = pandas.read_parquet(name) if ending == ".parquet" else pandas.read_feather(name)
    rows = [[text_of(label) for label in frame.columns]]
    rows += [[_cell(value) for value in row] for row in frame.itertuples(index=False, name=None)]
    if type(frame.index).__name__ == "RangeIndex":
        return rows, None
    corner = "" if frame.index.name is None else text_of(frame.index.name)
    return [[label, *row] for label, row in zip([corner, *map(_cell, frame.index)], rows, strict=True)], True


def _cell(value: Any) -> str:
    """A value as the text of a cell; whole floats without their point, as a spreadsheet shows them."""
    if is_missing(value):
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return text_of(value).strip()


def data_frame(columns: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> pandas.DataFrame:
    """A DataFrame of these columns, or rows.

    Raises
    ------
    ImportError
        pandas is not installed; says which extra brings it.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError('to_dataframe needs pandas: pip install "dualib[pandas]"') from error
    return pd.DataFrame(columns)
