"""Columns or rows as a data frame, where pandas is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas


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
