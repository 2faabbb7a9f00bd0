"""Small tables of HTML, as notebooks show them: self-contained, every text escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

_LONGEST = 60  # characters of a text that are shown
_CELL = "text-align:left;vertical-align:top;padding:1px 8px 1px 0"


def block(title: str, facts: Iterable[tuple[str, object]], *tables: str) -> str:
    """A title, a line for each fact, and tables below."""
    rows = "".join(
        f'<tr><th style="{_CELL};font-weight:normal;opacity:.7">{_text(name)}</th><td style="{_CELL}">{_text(value)}</td></tr>'
        for name, value in facts
    )
    return f"<div><strong>{_text(title)}</strong><table>{rows}</table>{''.join(tables)}</div>"


def table(header: Sequence[object], rows: Sequence[Sequence[object]], left_out: str = "") -> str:
    """A table of these rows; `left_out` says what is not shown."""
    head = "".join(f'<th style="{_CELL}">{_text(name)}</th>' for name in header)
    body = "".join("<tr>" + "".join(f'<td style="{_CELL}">{_text(value)}</td>' for value in row) + "</tr>" for row in rows)
    note = f'<div style="opacity:.7">{_text(left_out)}</div>' if left_out else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"


def more(number: int, shown: int, noun: str) -> str:
    """What is left out where only `shown` of a number of things are."""
    return f"{number - shown} more {noun}" if number > shown else ""


def short(label: str) -> str:
    """A label, the long cut short."""
    return label if len(label) <= _LONGEST else label[: _LONGEST - 1] + "\u2026"


def _text(value: object) -> str:
    return escape(f"{value:.6g}" if isinstance(value, float) else str(value))
