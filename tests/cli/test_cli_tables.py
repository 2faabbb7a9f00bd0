"""The command line on tables as people have them: how they are read, beta after the file, and how long a path will take."""

import json
import re

import numpy as np
import pytest

import dualib
from dualib.cli import estimate
from dualib.cli.main import main

CROSSTAB = "word,0,45,90\nw1,5,1,2\nw2,1,6,1\nw3,1,2,9\n"
COUNTS = [[5, 1, 2], [1, 6, 1], [1, 2, 9]]
READ_AS = "read as a table, line 1 is a header, the first column holds labels"
GUESS = f"  {READ_AS} (guessed: --header, --index and --layout say otherwise)\n"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text(CROSSTAB, encoding="utf-8")
    pairs = [(x, y) for x in range(3) for y in range(3) for _ in range(COUNTS[x][y])]
    (tmp_path / "samples.csv").write_text("x,y\n" + "".join(f"{x},{y}\n" for x, y in pairs), encoding="utf-8")
    return tmp_path


def run(command, capsys):
    assert main(command.split()) == 0
    return capsys.readouterr()


def test_a_guess_is_printed_and_options_decide(folder, capsys):
    out, err = run("solve t.csv --beta 5", capsys)
    assert "t.csv: table of counts, 3 x by 3 y\n  x: w1 w2 w3\n  y: 0 45 90\n" + GUESS in out and err == ""
    out, _ = run("solve t.csv --beta 5 --header yes --index yes --layout table", capsys)
    assert "read as" not in out and "table of counts, 3 x by 3 y\n  x: w1 w2 w3\n" in out
    out, _ = run("solve t.csv --beta 5 --header no", capsys)
    assert "table of counts, 4 x by 3 y\n  x: word w1 w2 w3\n" in out
    assert json.loads(run("solve t.csv --beta 5 --json", capsys).out)["guess"] == READ_AS


def test_samples_are_read_where_they_are_said_to_be(folder, capsys):
    assert main(["solve", "samples.csv", "--beta", "5"]) == 2
    err = capsys.readouterr().err
    assert "two columns of numbers: a table with two y, or samples of x and y: say layout='table' or layout='samples'" in err
    results = [
        json.loads(run(f"{command} --beta 5 --json", capsys).out)
        for command in ("solve t.csv", "solve samples.csv --layout samples")
    ]
    assert results[0]["encoder"] == results[1]["encoder"] and results[0]["objective"] == results[1]["objective"]
    run("anneal samples.csv 2,5 --layout samples -q --no-plots", capsys)
    assert dualib.load("dualib-anneal/ib-curve.npz")[1].objective == pytest.approx(results[0]["objective"], abs=1e-9)


def test_compare_says_how_both_were_read(folder, capsys):
    (folder / "u.csv").write_text(CROSSTAB.replace("word", ""), encoding="utf-8")
    (folder / "v.csv").write_text("5,1,2\n1,6,1\n1,2,9\n", encoding="utf-8")
    options = "-q --no-plots --methods plug-in --betas 2"
    out, _ = run(f"compare t.csv u.csv {options}", capsys)
    assert out.count("  read as") == 1
    out, _ = run(f"compare t.csv v.csv {options}", capsys)
    assert out.count("  read as") == 2 and "no header" in out


@pytest.mark.parametrize("command", ["solve", "anneal", "compare"])
@pytest.mark.parametrize("option", ["--header perhaps", "--index 1", "--layout wide"])
def test_options_that_there_are_not(command, option, capsys):
    with pytest.raises(SystemExit) as stop:
        main(f"{command} t.csv t.csv {option}".split())
    assert stop.value.code == 2
    assert f"dualib {command}: error: argument {option.split()[0]}: invalid choice" in capsys.readouterr().err


# --- beta after the file ----------------------------------------------------------------------------------------------------------


def test_beta_may_stand_after_the_file(folder, capsys):
    assert run("solve t.csv 5 --unit bits", capsys).out == run("solve t.csv --unit bits --beta 5", capsys).out
    assert run("solve --unit bits t.csv 5", capsys).out == run("solve --beta 5 t.csv --unit bits", capsys).out
    run("anneal t.csv 5,2 -q --no-plots", capsys)
    assert dualib.load("dualib-anneal/ib-curve.npz").beta.tolist() == [2.0, 5.0]
    run("anneal t.csv 3 -q --no-plots -o one", capsys)
    assert dualib.load("one/ib-curve.npz").beta.tolist() == [3.0]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("solve t.csv", "dualib solve: error: the following arguments are required: --beta"),
        ("solve t.csv five", "the following arguments are required: --beta"),
        ("solve t.csv 1,2", "the following arguments are required: --beta"),
        ("solve t.csv --tol 1e-6 5", "the following arguments are required: --beta"),
        ("solve t.csv 5 --beta 6", "unrecognized arguments: 5"),
        ("solve t.csv 5 6", "unrecognized arguments: 6"),
        ("anneal t.csv 5 --betas 6", "dualib anneal: error: unrecognized arguments: 5"),
        ("anneal t.csv u.csv", "unrecognized arguments: u.csv"),
        ("anneal t.csv 5 --beta 6", "unrecognized arguments: --beta 6; did you mean --betas?"),
    ],
)
def test_what_else_stands_after_the_file(command, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(command.split())
    assert stop.value.code == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1


# --- how long it takes -----------------------------------------------------------------------------------------------------------


def announced(monkeypatch, capsys, seconds, clusters, command):
    monkeypatch.setattr(estimate, "_FEW_STATES", 2)
    monkeypatch.setattr(estimate, "_timed", lambda *arguments: (seconds, clusters))
    return run(f"{command} --no-plots", capsys).err


def test_a_long_path_is_announced_before_it_is_solved(folder, capsys, monkeypatch):
    text = "dualib: this takes about {}, of which the points take {} and the events the rest (--no-events)"
    err = announced(monkeypatch, capsys, 2.0, 100, "anneal t.csv 2,5")
    assert text.format("0.7 to 10 minutes", "about 1 to 4 seconds") + "; few betas (--betas 2,4,8) take less\n" in err
    err = announced(monkeypatch, capsys, 100.0, 10, "anneal t.csv --beta-min 2 --beta-max 3")
    assert text.format("0.5 to 2 hours", "about 20 to 80 minutes") in err
    assert "this takes" not in announced(monkeypatch, capsys, 0.1, 10, "anneal t.csv 2,5")
    assert announced(monkeypatch, capsys, 100.0, 10, "anneal t.csv 2,5 -q") == ""
    monkeypatch.setattr(estimate, "_FEW_STATES", 3)
    assert "this takes" not in run("anneal t.csv 2,5 --no-plots", capsys).err


def test_two_solutions_are_timed(folder, capsys):
    joint = dualib.JointDistribution.from_counts(COUNTS)
    for distortion, betas in (("ib", None), ("dualib", None), ("ib", [9.0, 2.0])):
        seconds, clusters = estimate._timed(joint, distortion, betas, 1e-9)
        largest = 9.0 if betas else 8.0 * dualib.local_critical_beta(joint, distortion)
        assert 0.0 < seconds < 60.0 and clusters == dualib.solve(joint, largest, distortion).n_clusters
    assert estimate._ends(dualib.JointDistribution(np.eye(3) / 3), "dualib") == [2.0, 8.0]  # no cluster has all x


def test_a_span_of_time_in_words():
    assert estimate._span(0.004, 3.0) == "about 0.004 to 3 seconds"
    assert estimate._span(96.0, 99.0) == "about 100 seconds"
    assert estimate._span(7200.0, 7300.0) == "about 2 hours"
    assert re.fullmatch(r"about \d+ to \d+ minutes", estimate._span(600.0, 1800.0))
