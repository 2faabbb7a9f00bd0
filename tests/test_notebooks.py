"""What notebooks show of results: well-formed, self-contained HTML, with every label escaped; and their DataFrames."""

from html.parser import HTMLParser

import numpy as np
import pytest
from scipy import sparse

import dualib
from dualib import Event, JointDistribution

NASTY = ['<script>alert("x")</script>', "a & b", "it's", "", "\u00e4" * 200, "<b>"]
VOID = ("br",)


class Reader(HTMLParser):
    """The texts and tags of a page; an error where they are not closed in order."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.texts, self.attributes = [], set(), [], set()
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attributes}
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.texts.append(text)


@pytest.fixture(scope="module")
def joint():
    rng = np.random.default_rng(5)
    return JointDistribution.from_counts(rng.integers(1, 9, (6, 6)), x_labels=NASTY, y_labels=NASTY[::-1])


def results(joint):
    curve = dualib.anneal(joint, betas=[2.0, 8.0, 40.0])
    counts = np.round(1000 * joint.pxy)
    comparison = dualib.compare_predictions(
        counts, counts, methods=["ib"], betas=[5.0], smoothing=0.5, n_train=200, n_splits=2
    )
    return [joint, curve[1], curve, curve.events, curve.events[0], comparison, dualib.quantize(joint, 3)]


def test_every_result_is_well_formed_and_runs_nothing(joint):
    for result in results(joint):
        page = Reader(result._repr_html_())
        assert page.tags <= {"div", "strong", "table", "thead", "tbody", "tr", "th", "td"}, type(result)
        assert page.attributes <= {"style"}
        assert type(result).__name__.lower().rstrip("s") in page.texts[0].lower()


def test_labels_are_escaped_and_cut_short(joint):
    for result in (joint, dualib.solve(joint, 40.0)):
        page = result._repr_html_()
        assert "<script" not in page and "<b>" not in page and "a & b" not in page
        texts = " ".join(Reader(page).texts)
        assert '<script>alert("x")</script>' in texts and "a & b" in texts and "it's" in texts
        assert "\u00e4" * 59 + "\u2026" in texts and "\u00e4" * 60 not in texts


def test_what_is_shown_of_a_solution_is_what_it_has():
    joint = JointDistribution([[0.4, 0.0], [0.3, 0.0], [0.0, 0.3]], x_labels=["u", "v", "w"], y_labels=["yes", "no"])
    texts = Reader(dualib.quantize(joint, 2)._repr_html_()).texts
    at = texts.index("likeliest y") + 1
    assert texts[at:] == ["0", "0.7000", "2", "u, v", "yes 1.00", "1", "0.3000", "1", "w", "no 1.00"]
    matrix = dualib.solve(joint, 5.0, dualib.RateDistortion(1.0 - np.eye(3)))
    assert "column 0 1.00" in Reader(matrix._repr_html_()).texts


def test_large_results_are_cut():
    rng = np.random.default_rng(0)
    table = sparse.csr_array(rng.poisson(0.3, (400, 300)) + np.eye(400, 300) + np.eye(400, 300, -200))
    joint = JointDistribution.from_counts(table)
    solution = dualib.quantize(joint, 40, certify=False, n_init=1)
    for result, left in ((joint, "392 more x, 292 more y"), (solution, "20 more clusters")):
        page = result._repr_html_()
        assert len(page) < 20_000 and left in Reader(page).texts
    assert f"sparse, {joint.pxy.nnz} nonzeros" in Reader(joint._repr_html_()).texts


def test_events_are_a_tuple_with_a_table_of_all():
    curve = dualib.anneal(dualib.datasets.toy(), betas=[3.0, 64.0])
    assert isinstance(curve.events, tuple) and curve.events == tuple(curve.events)
    texts = Reader(curve.events._repr_html_()).texts
    assert texts[0] == f"{len(curve.events)} events" and f"{curve.events[0].beta:.8g}" in texts and "1 to 2" in texts
    many = dualib.Curve(curve.solutions, [Event("split", b, (b, b), 1, 2) for b in np.linspace(4.0, 60.0, 20)])
    assert "8 more events" in Reader(many._repr_html_()).texts
    assert "more events" not in " ".join(Reader(many.events._repr_html_()).texts)
    assert "2 at once" in " ".join(Reader(Event("split", 4.0, (3.0, 5.0), 1, 3, 2)._repr_html_()).texts)


def test_a_solution_as_a_frame():
    joint = JointDistribution([[0.4, 0.1], [0.2, 0.1], [0.0, 0.2]], x_labels=["u", "v", "w"])
    solution = dualib.solve(joint, 8.0)
    frame = solution.to_dataframe()
    assert frame.index.tolist() == ["u", "v", "w"] and frame.index.name == "x"
    assert frame.columns.tolist() == ["px", "cluster", *(f"t{t}" for t in range(solution.n_clusters))]
    np.testing.assert_array_equal(frame["px"], joint.px)
    np.testing.assert_array_equal(frame["cluster"], solution.labels)
    np.testing.assert_array_equal(frame.iloc[:, 2:], solution.encoder)


def test_help_begins_with_where_to_start_and_has_no_internal_name():
    import inspect
    import pydoc

    text = pydoc.plain(pydoc.render_doc(dualib))
    assert (
        "Where to start" in text[: text.index("PACKAGE CONTENTS")] and "Modules that are not named here are internal" in text
    )
    shown = {name for name, _ in inspect.getmembers(dualib, lambda value: inspect.isclass(value) or inspect.isfunction(value))}
    assert shown <= set(dualib.__all__) and {"solve", "anneal", "JointDistribution", "Solution"} <= shown
