"""The page of ``dualib report``: its numbers, its sentences, and that it is one file which loads nothing."""

import html
import json
import re
import shlex

import numpy as np
import pytest

import dualib
from dualib.cli.main import main
from dualib.information import mutual_information
from dualib.report.facts import chosen_points, groups_of
from dualib.report.pictures import log_ticks, ticks

TABLE = ",noun,verb,adj\nrun,3,9,0\nhouse,12,1,2\nred,2,0,9\ngo,2,14,1\n"
COUNTS = np.array([[3, 9, 0], [12, 1, 2], [2, 0, 9], [2, 14, 1]])
BETAS = "1,2,4,8,32"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text(TABLE, encoding="utf-8")
    return tmp_path


def written(*options, name="t.csv", sample=False):
    """The page that a command writes, by default without what takes longest."""
    options = options if sample else [*options, "--no-sample"]
    assert main(["report", name, "-q", "-o", "page.html", *options]) == 0
    with open("page.html", encoding="utf-8") as file:
        return file.read()


def text_of(page, section):
    """What a person reads of a section, without its pictures."""
    (found,) = re.findall(rf'<section id="{section}">(.*?)</section>', page, re.S)
    return html.unescape(re.sub(r"<[^>]+>", " ", re.sub(r"<svg.*?</svg>", "", found, flags=re.S)))


def points_of(page):
    return json.loads(re.search(r'<script type="application/json" id="points">(.*?)</script>', page, re.S).group(1))


@pytest.fixture(scope="module")
def curve():
    return dualib.anneal(dualib.JointDistribution.from_counts(COUNTS), "ib", [1, 2, 4, 8, 32])


@pytest.mark.parametrize(("unit", "factor"), [("nats", 1.0), ("bits", 1.0 / np.log(2.0))])
def test_the_numbers_are_those_of_anneal(curve, unit, factor):
    page = written("--betas", BETAS, "--unit", unit)
    points = points_of(page)
    assert [point["beta"] for point in points] == curve.beta.tolist()
    titles = re.findall(r"<circle[^>]*data-point.*?<title>(.*?)</title>", page)
    for point, title, solution in zip(points, titles, curve, strict=True):
        for line in (point["numbers"], title):
            rate, relevance = (float(value) for value in re.search(r"rate ([\d.]+), relevance ([\d.]+)", line).groups())
            assert rate == pytest.approx(factor * solution.rate, abs=5.1e-5)
            assert relevance == pytest.approx(factor * solution.relevance, abs=5.1e-5)
            assert f": {solution.n_clusters} cluster" in line
        assert sum(float(row[0]) for row in point["rows"]) == pytest.approx(1.0, abs=5.1e-4 * len(point["rows"]))
    assert f"beta = {curve.onset:.8g}, the onset of learning" in text_of(page, "learning")
    for event in (event for event in curve.events if event.located):
        assert f"{event.beta:.10g}" in text_of(page, "events")


def test_points_lie_where_their_numbers_say(curve):
    """Pixels of the plane are one linear map of rate and relevance, up for more."""
    page = written("--betas", BETAS)
    places = np.array(re.findall(r'<circle[^>]*cx="([\d.]+)" cy="([\d.]+)"', page), dtype=float)
    for pixels, values in zip(places.T, (curve.rate, curve.relevance), strict=True):
        slope, offset = np.polyfit(values, pixels, 1)
        np.testing.assert_allclose(slope * values + offset, pixels, atol=0.1)
        assert (slope > 0.0) == (values is curve.rate)


def test_every_x_is_a_member_once_at_every_beta():
    for point in points_of(written("--betas", BETAS)):
        members = ", ".join(row[1] for row in point["rows"] if not row[1].startswith("(none")).split(", ")
        assert sorted(members) == ["go", "house", "red", "run"]


def test_it_is_one_file_that_loads_nothing():
    page = written("--betas", "2,8")
    assert not re.search(r"https?:|//[a-z]|<link|<img|\ssrc=|@import|url\(", page)
    assert page.startswith("<!DOCTYPE html>")
    for anchor in re.findall(r'href="#(\w+)"', page):
        assert f'<section id="{anchor}">' in page


def test_the_command_in_it_makes_it_again(folder):
    options = "--betas 1,2,4,8 --smoothing 0.5 --distortion dualib --unit bits --show 4 --seed 3 --layout table"
    page = written(*options.split(), sample=True)
    (command,) = re.findall(r"<pre>(.*?)</pre>", page)
    words = shlex.split(html.unescape(command))
    assert words[:2] == ["dualib", "report"] and "--layout" in words
    assert main([*words[1:], "-o", "again.html", "-q"]) == 0
    assert (folder / "again.html").read_text(encoding="utf-8") == page


def test_labels_are_text_whatever_they_hold(folder):
    evil = "</script><img src=x onerror=alert(1)>"
    (folder / "evil.csv").write_text(f',a&b,"<b>"\n"{evil}",5,1\nu,1,6\n', encoding="utf-8")
    page = written("--betas", "8", name="evil.csv")
    assert "<img" not in page and page.count("</script>") == 2
    assert evil in [name for point in points_of(page) for row in point["rows"] for name in row[1].split(", ")]
    assert evil in text_of(page, "clusters")


def test_what_was_read_is_said(folder):
    said = text_of(written("--betas", "2", "--smoothing", "0.25"), "read")
    for words in ("4 x (rows) by 3 y", "counts of 55 observations", "0.25 was added", "No cell is zero"):
        assert words in said
    (folder / "p.csv").write_text("0.2,0.3\n0.0,0.5\n", encoding="utf-8")
    page = written("--betas", "2", name="p.csv")
    assert "probabilities of pairs" in text_of(page, "read") and "25.0% of its cells are zero" in text_of(page, "read")
    assert "no counts of observations" in text_of(page, "sample")


def test_the_certificate_is_told_in_words(curve):
    said = text_of(written("--betas", BETAS), "certificate")
    assert f"{curve.gap.max():.1e} nats" in said
    assert "At all of them this was proved" in said  # three y
    assert "All reached the wanted tolerance" in said


def test_a_missed_tolerance_is_told(monkeypatch):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dualib.ConvergenceWarning)
        said = text_of(written("--betas", "2,1e9", "--tol", "1e-15"), "certificate")
    assert "the wanted tolerance was not reached" in said


def fit_rows(page):
    """Columns of the table of what encoders are worth on the other half."""
    (section,) = re.findall(r'<section id="sample">(.*?)</section>', page, re.S)
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", section)[1:]]
    return [[float(re.match(r"[-\d.]+", cell).group()) for cell in row] for row in rows]


def test_what_encoders_are_worth_elsewhere_is_that_of_cross_fit():
    page = written("--betas", BETAS, sample=True)
    rows = np.array(fit_rows(page))
    betas = rows[:, 0]
    fit = dualib.cross_fit(COUNTS, "ib", betas, 3, 0.5, n_shuffles=10)
    np.testing.assert_allclose(rows[:, 2], fit.relevance, atol=5.1e-5)
    np.testing.assert_allclose(rows[:, 3], fit.cross_fitted_relevance, atol=5.1e-5)
    np.testing.assert_allclose(rows[:, 4], fit.log_loss, atol=5.1e-5)
    said = text_of(page, "sample")
    assert f"log loss is least at beta = {fit.best_beta:.4g}" in said
    assert f"begin at beta = {fit.null_onsets.min():.4g} to {fit.null_onsets.max():.4g}" in said
    assert "none of them does so early" in said  # words and their kinds do go together
    assert page.count('class="bar"') == len(rows)


def test_tables_without_dependence_are_found_out(folder):
    """Counts of independent X and Y: the other half knows of no cluster, and the onset is no earlier than that of noise."""
    rng = np.random.default_rng(5)
    counts = rng.multinomial(300, np.full(20, 1 / 20)).reshape(5, 4)
    np.savetxt(folder / "noise.csv", counts, fmt="%d", delimiter=",")
    page = written("--header", "no", "--index", "no", name="noise.csv", sample=True)
    rows = np.array(fit_rows(page))
    assert rows[-1, 2] == pytest.approx(mutual_information(counts), abs=1e-3)
    assert rows[:, 3].max() < 0.5 * rows[-1, 2]
    assert "tells the table from noise only if" in text_of(page, "sample")
    estimate = dualib.information.mutual_information_nsb(counts)
    surplus = mutual_information(counts) - max(0.0, estimate)
    assert f"about {surplus:.2g} (" in text_of(page, "sample")


def test_a_sparse_table_of_counts_is_one_too(folder):
    from scipy import io, sparse

    io.mmwrite(folder / "t.mtx", sparse.coo_array(COUNTS))
    dense, thin = (fit_rows(written("--betas", "2,8", name=name, sample=True)) for name in ("t.csv", "t.mtx"))
    assert dense == thin and len(dense) == 2


def test_a_table_too_large_to_be_divided_says_so(monkeypatch):
    monkeypatch.setattr("dualib.report.facts.FEW_CELLS", 11)
    assert "too large" in text_of(written("--betas", "2,8", sample=True), "sample")


def test_one_beta_independent_tables_and_no_events(folder):
    (folder / "flat.csv").write_text("2,4\n3,6\n", encoding="utf-8")
    page = written("--betas", "3", name="flat.csv")
    assert "one cluster is the best at every beta" in text_of(page, "learning")
    assert 'id="tree"' not in page
    assert "does not change" in text_of(page, "events")
    bracketed = written("--betas", BETAS, "--no-events")
    assert "between two points" in text_of(bracketed, "events")


def test_the_points_written_out(curve):
    assert [solution.beta for solution in chosen_points(curve, [7.0, 2.2, 8.1])] == [2.0, 8.0]
    shown = chosen_points(curve, None)
    assert 1 <= len(shown) <= 4 and [s.beta for s in shown] == sorted(s.beta for s in shown)


def test_groups_name_the_likeliest_first_and_count_the_rest():
    joint = dualib.JointDistribution.from_counts(np.arange(1, 41).reshape(20, 2))
    (group,) = groups_of(dualib.solve(joint, 0.5))
    assert group.members == tuple(str(x) for x in range(19, 7, -1)) and group.more == 8
    assert group.weight == 1.0


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-0.3, 0.05), (0.0, 2.7e-5), (2.0, 2.5)])
def test_ticks_are_round_few_and_inside(low, high):
    found = ticks(low, high)
    assert 3 <= len(found) <= 8 and low - 1e-12 <= found[0] and found[-1] <= high + 1e-12
    assert all(len(f"{value:.10g}".lstrip("-0.").replace(".", "").split("e")[0]) <= 3 for value in found)


def test_logarithmic_ticks():
    assert log_ticks(1.5, 60.0) == [2.0, 5.0, 10.0, 20.0, 50.0]
    assert len(log_ticks(3.0, 3.4)) > 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("report missing.csv", "missing.csv"),
        ("report t.csv -o no/page.html", "'no' does not exist"),
        ("report t.csv -o .", "is a folder"),
        ("report t.csv --betas 1,-2 -q", "-2"),
        ("report t.csv --seed -1", "--seed"),
    ],
)
def test_bad_input_is_one_line(arguments, words, capsys):
    assert main(arguments.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("dualib report: error: ") and words in line
