"""The page: one file of HTML, with its style, its script and its pictures inside."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Sequence
from html import escape
from importlib import metadata, resources

import dualib
from dualib.report import pictures, words
from dualib.report.facts import Facts, groups_of
from dualib.results.solution import Solution

_ROLES = {
    "appearance": "a cluster is born, apart from the others",
    "split": "a cluster divides",
    "jump": "many change at once",
}


def page_of(facts: Facts) -> str:
    """All of it.

    Parameters
    ----------
    facts : Facts

    Returns
    -------
    str
        A document that loads nothing: no font, no script, no picture. It reads without its script, too, and prints.
    """
    title = f"{facts.source.name} by {words.NAMES[facts.curve.distortion.name]}"
    sections = [
        ("read", "What was read", _paragraphs(words.of_reading(facts))),
        ("learning", "What it shows", _paragraphs(words.of_learning(facts)) + _plane(facts) + _tree(facts)),
        ("clusters", "Clusters", _slider(facts) + "".join(_clusters(solution, facts) for solution in facts.shown)),
        ("events", "Events", _events(facts)),
        ("certificate", "How good are these answers?", _paragraphs(words.of_certificate(facts))),
        ("sample", "How much is the sample's?", _sample(facts)),
        ("again", "The same again", _again(facts)),
    ]
    links = " ".join(f'<a href="#{name}">{heading}</a>' for name, heading, _ in sections)
    body = "".join(f'<section id="{name}"><h2>{heading}</h2>{content}</section>' for name, heading, content in sections)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_part('style.css')}</style></head>\n"
        f"<body><header><h1>{escape(title)}</h1><nav>{links}</nav></header>\n<main>{body}</main>\n"
        f'<script type="application/json" id="points">{_points(facts)}</script>\n'
        f"<script>{_part('script.js')}</script></body></html>\n"
    )


def _part(name: str) -> str:
    return resources.files("dualib.report").joinpath(name).read_text(encoding="utf-8")


def _paragraphs(sentences: Iterable[str]) -> str:
    return f"<p>{escape(' '.join(sentences))}</p>"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> str:
    """Cells that are plain text."""
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    words_above = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f'<div class="wide"><table>{words_above}<thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'


def _figure(picture: str, caption: str) -> str:
    return f'<figure><div class="wide">{picture}</div><figcaption>{escape(caption)}</figcaption></figure>'


def _plane(facts: Facts) -> str:
    caption = (
        "What the clusters keep of Y for what they keep of X: one point for each beta, the larger the farther to the right."
    )
    caption += (
        " No encoder is above the curve." if facts.curve.distortion.name == "ib" else " The curve of the IB is the bound."
    )
    if facts.sample is not None and facts.sample.fit is not None:
        caption += " Dashed, what they keep on observations that did not choose them."
    return _figure(pictures.plane(facts), caption)


def _tree(facts: Facts) -> str:
    if len(facts.curve) < 2:
        return ""
    return _figure(
        pictures.tree(facts),
        "The clusters against beta, as wide as their probability. Vertical lines are events; a dotted line ties a cluster that is "
        "born apart to its nearest.",
    )


def _numbers(solution: Solution, facts: Facts) -> str:
    """The caption over the clusters of one beta."""
    return f"{pictures.summary_of(solution, facts)} {facts.unit}, {solution.certificate or 'not certified'}"


def _rows(solution: Solution) -> list[tuple[str, str, str]]:
    """One row a cluster."""
    rows = []
    for group in groups_of(solution):
        members = ", ".join(group.members) + (f" and {group.more} more" if group.more else "")
        marks = ", ".join(f"{name} {probability:.0%}" for name, probability in group.marks)
        weight = f"{group.weight:.3f}" if group.weight >= 5e-4 else f"{group.weight:.0e}"
        rows.append((weight, members or "(none the likeliest)", marks or "(as all)"))
    return rows


_HEADS = ("p(t)", "x that are likeliest in it", "y that tell it apart, with p(y|t)")


def _clusters(solution: Solution, facts: Facts) -> str:
    return _table(_HEADS, _rows(solution), _numbers(solution, facts))


def _slider(facts: Facts) -> str:
    """The clusters at any beta of the curve: hidden where there is no script, and in print."""
    last, first = len(facts.curve) - 1, facts.curve.solutions.index(facts.shown[len(facts.shown) // 3])
    heads = "".join(f'<th scope="col">{escape(text)}</th>' for text in _HEADS)
    return (
        '<div id="live" hidden><label>beta <input id="slider" type="range" min="0" '
        f'max="{last}" value="{first}" step="1"></label> <output id="numbers" for="slider"></output>'
        f'<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody id="rows"></tbody></table></div></div>'
        f"<p>At {len(facts.shown)} betas, written out:</p>"
    )


def _points(facts: Facts) -> str:
    """What the script shows, one object a point; no text in it can end its element."""
    points = [
        {"beta": solution.beta, "numbers": _numbers(solution, facts), "rows": _rows(solution)} for solution in facts.curve
    ]
    return json.dumps(points, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c").replace("&", "\\u0026")


def _events(facts: Facts) -> str:
    curve = facts.curve
    if not curve.events:
        return "<p>The number of clusters does not change.</p>"
    rows = [
        (
            f"{event.beta:.10g}" if event.located else f"{event.interval[0]:.5g} to {event.interval[1]:.5g}",
            event.kind,
            f"{event.before} to {event.after}",
            f"{event.precision:.0e}" if event.located else "between two points",
        )
        for event in curve.events
    ]
    kinds = [f"{kind}: {role}" for kind, role in _ROLES.items() if any(event.kind == kind for event in curve.events)]
    return _table(("beta", "kind", "clusters", "located to, relative"), rows) + _paragraphs(["; ".join(kinds) + "."])


def _sample(facts: Facts) -> str:
    content = _paragraphs(words.of_sample(facts))
    if facts.sample is None or facts.sample.fit is None:
        return content
    unit = facts.unit
    heads = ("beta", "clusters", f"relevance in the sample, {unit}", f"on the other half, {unit}", f"log loss there, {unit}")
    return (
        content
        + _paragraphs(words.of_fit(facts.sample.fit))
        + _table(heads, words.rows_of_fit(facts.sample.fit, facts.factor))
    )


def _again(facts: Facts) -> str:
    """How to come by the same page, and by the numbers."""
    versions = [("dualib", dualib.__version__), ("Python", platform.python_version())]
    versions += [(name, metadata.version(name)) for name in ("numpy", "scipy", "numba")]
    return (
        f"<pre>{escape(facts.command)}</pre>"
        + _paragraphs(
            [
                "makes this page again, bit for bit on the same machine and versions.",
                "dualib anneal with the same file and options writes all numbers, encoders and decoders too.",
            ]
        )
        + _table(("", "version"), versions)
        + f"<p>SHA-256 of the file: <code>{facts.source.digest}</code></p>"
    )
