"""The command line: what it prints and writes, its exit codes, and one clear line for each bad input."""

import csv
import json
import os
import re
import warnings

import numpy as np
import pytest
from scipy import sparse

import dualib
from cli.conftest import TABLE
from dualib import information
from dualib.cli.main import main


def joint():
    return dualib.JointDistribution.from_counts([[5, 3, 1], [1, 8, 2], [0, 1, 9]], x_labels=list("uvw"), y_labels=list("abc"))


# --- solve ------------------------------------------------------------------------------------------------------------


def test_solve_prints_what_it_read_and_what_it_found(capsys):
    assert main(["solve", "t.csv", "--beta", "5"]) == 0
    out, err = capsys.readouterr()
    solution = dualib.solve(joint(), 5.0)
    assert err == ""
    assert "t.csv: table of counts, 3 x by 3 y\n  x: u v w\n  y: a b c\n" in out
    assert f"relevance I(T;Y)  {solution.relevance:.8g}\n" in out
    assert f"{solution.objective:.8g}   gap" in out
    assert "rigorous" in out
    assert f"{solution.n_clusters} clusters" in out
    for x in range(3):
        assert f"  {solution.weights[np.argmax(solution.encoder[x])]:.4f}  {'uvw'[x]}\n" in out


def test_a_cluster_that_no_x_is_likeliest_in_says_so(folder, capsys):
    counts = dualib.datasets.load_letters(smoothing=0.5)
    np.save("letters.npy", counts.pxy)
    assert main(["solve", "letters.npy", "--beta", "4"]) == 0
    assert len(re.findall(r"^  0\.0\d+  \(likeliest of none\)$", capsys.readouterr().out, re.M)) == 2


def test_solve_in_bits_saves_and_takes_a_cap(capsys):
    options = ["--distortion", "dualib", "--smoothing", "0.5", "--n-clusters", "2", "--unit", "bits", "--save", "s.npz"]
    assert main(["solve", "t.csv", "--beta", "5", *options]) == 0
    out = capsys.readouterr().out
    saved = dualib.load("s.npz")
    assert (saved.distortion.name, saved.beta, saved.n_clusters) == ("dualib", 5.0, 2)
    assert saved.joint == dualib.JointDistribution.from_counts(
        [[5, 3, 1], [1, 8, 2], [0, 1, 9]], smoothing=0.5, x_labels=list("uvw"), y_labels=list("abc")
    )
    assert "+ 0.5 in every cell" in out
    assert "in bits" in out
    assert f"rate I(X;T)       {saved.rate / np.log(2.0):.8g}\n" in out
    assert 'dualib.load("s.npz")' in out


def test_solve_prints_json(capsys):
    assert main(["solve", "t.csv", "--beta", "5", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    solution = dualib.solve(joint(), 5.0)
    assert (result["table"], result["x_labels"], result["y_labels"]) == ("counts", list("uvw"), list("abc"))
    assert (result["beta"], result["unit"], result["status"]) == (5.0, "nats", "CONVERGED")
    assert result["objective"] == solution.objective
    np.testing.assert_array_equal(result["encoder"], solution.encoder)
    np.testing.assert_array_equal(result["decoder"], solution.decoder)


def test_solve_reads_each_kind_of_file(capsys):
    counts = np.array([[5.0, 3.0, 1.0], [1.0, 8.0, 2.0], [0.0, 1.0, 9.0]])
    np.save("t.npy", counts)
    sparse.save_npz("t.npz", sparse.csr_array(counts))
    results = []
    for name in ("t.csv", "t.npy", "t.npz"):
        assert main(["solve", name, "--beta", "5", "--json"]) == 0
        results.append(json.loads(capsys.readouterr().out)["relevance"])
    assert results[1] == results[0]
    assert results[2] == pytest.approx(results[0], rel=1e-12)


def test_conditionals_are_announced(folder, capsys):
    (folder / "p.csv").write_text("0.5,0.5\n0.1,0.9\n", encoding="utf-8")
    assert main(["solve", "p.csv", "--beta", "9"]) == 0
    assert "table of conditionals, 2 x by 2 y (every row sums to 1: p(x) is uniform)" in capsys.readouterr().out


def test_a_missed_tolerance_is_a_warning_of_one_line(capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the command line shows dualib's warnings whatever the filters are
        assert main(["solve", "t.csv", "--beta", "5", "--tol", "1e-300"]) == 0
    err = capsys.readouterr().err
    assert err.startswith("dualib: warning: beta=5: ")
    assert err.count("\n") == 1


# --- anneal -----------------------------------------------------------------------------------------------------------


def test_anneal_writes_the_curve_and_the_pictures(folder, capsys):
    assert main(["anneal", "t.csv", "--distortion", "dualib", "-o", "out/here", "--betas", "1,2,4,8", "--unit", "bits"]) == 0
    out, err = capsys.readouterr()
    assert re.search(r"(\d+) of \1, ", err)  # betas, and what lies between them
    curve = dualib.load("out/here/dualib-curve.npz")
    assert curve.beta.tolist() == [1.0, 2.0, 4.0, 8.0]
    with open("out/here/dualib-curve.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    np.testing.assert_allclose([float(row["rate"]) for row in rows], curve.rate / np.log(2.0), rtol=1e-14)
    assert {row["unit"] for row in rows} == {"bits"}
    listed = [line.strip() for line in out.split("written:\n")[1].splitlines()]
    assert sorted(listed) == sorted(os.path.join("out/here", name) for name in os.listdir("out/here"))
    pictures = [name for name in listed if name.endswith(".png")]
    assert len(pictures) == 4
    for name in pictures:
        assert (folder / name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_anneal_says_how_much_of_the_counts_is_the_samples(folder, capsys):
    """The plug-in less the NSB estimate, in the unit asked for; nothing where the table is not of counts."""
    (folder / "p.csv").write_text("0.2,0.3\n0.4,0.1\n", encoding="utf-8")
    counts = np.array([[5, 3, 1], [1, 8, 2], [0, 1, 9]])
    plug_in, estimate = (
        call(counts, unit="bits") for call in (information.mutual_information, information.mutual_information_nsb)
    )
    main(["anneal", "t.csv", "--betas", "2,4", "--no-plots", "-q", "--unit", "bits"])
    line = next(line for line in capsys.readouterr().out.splitlines() if "the sample's" in line)
    found = re.search(r"of the (\S+) bits in the counts about (\S+) \((\d+)%\) is the sample's: 30 observations", line)
    surplus = plug_in - estimate
    assert [float(part) for part in found.groups()] == pytest.approx([plug_in, surplus, 100 * surplus / plug_in], rel=0.03)
    for name in ("half.csv", "p.csv"):
        main(["anneal", name, "--betas", "2,4", "--no-plots", "-q"])
        assert "the sample's" not in capsys.readouterr().out


def test_anneal_takes_an_adaptive_grid_between_given_ends(capsys):
    assert main(["anneal", "t.csv", "--beta-min", "2", "--beta-max", "3", "--no-plots", "-q"]) == 0
    out, err = capsys.readouterr()
    curve = dualib.load("dualib-anneal/ib-curve.npz")
    assert err == ""
    assert sorted(os.listdir("dualib-anneal")) == ["ib-curve.csv", "ib-curve.npz"]
    assert (curve.beta[0], curve.beta[-1]) == pytest.approx((2.0, 3.0))
    assert f"{curve.rate[-1]:8.4f} {curve.relevance[-1]:10.4f}" in out


# --- compare ----------------------------------------------------------------------------------------------------------


def test_compare_writes_its_tables_and_picture_and_prints_the_summary(folder, capsys):
    (folder / "u.csv").write_text(TABLE.replace("5,3,1", "4,4,2"), encoding="utf-8")
    (folder / "f.csv").write_text("-1,0\n0.5,1\n2,0\n", encoding="utf-8")
    command = (
        "compare t.csv u.csv --splits 3 --betas 2,8 --smoothing 0.1,0.5 --l2 1 --n-train 15,30 -o out/here --features f.csv"
    )
    assert main(command.split()) == 0
    out, err = capsys.readouterr()
    assert "16 of 16" in err  # 4 methods: 3 splits of 15 symbols, and one of all 30
    expected = dualib.compare_predictions(
        [[5, 3, 1], [1, 8, 2], [0, 1, 9]],
        [[4, 4, 2], [1, 8, 2], [0, 1, 9]],
        features=[[-1.0, 0.0], [0.5, 1.0], [2.0, 0.0]],
        betas=[2.0, 8.0],
        smoothing=[0.1, 0.5],
        l2=1.0,
        n_train=[15, 30],
        n_splits=3,
    )
    assert "3 x by 3 y: 30 symbols in t.csv, 31 symbols in u.csv\n" in out
    assert repr(expected) in out
    for row in expected.against("plug-in"):
        difference = re.escape(f"{row['log_loss']:+.4f}")
        rest = r"\n" if row["n_train"] == 30 else rf" \+- .*{row['verdict']}\n"
        assert re.search(rf"{row['n_train']}  {row['method']} +{difference}{rest}", out)
    with open("out/here/comparison.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["log_loss"]) for row in rows] == expected["log_loss"].tolist()
    with open("out/here/summary.csv", newline="", encoding="utf-8") as file:
        summary = list(csv.DictReader(file))
    assert [float(row["brier"]) for row in summary] == [row["brier"] for row in expected.summary()]
    assert {row["verdict"] for row in summary if row["method"] == "plug-in"} == {""}
    assert {row["log_loss_se"] == row["verdict"] == "" for row in summary if row["n_train"] == "30"} == {True}
    assert sorted(os.listdir("out/here")) == ["comparison.csv", "comparison.png", "summary.csv"]
    assert (folder / "out/here/comparison.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_compare_of_all_symbols_states_no_error_and_no_verdict(folder, capsys):
    (folder / "u.csv").write_text(TABLE.replace("5,3,1", "4,4,2"), encoding="utf-8")
    assert (
        main(["compare", "t.csv", "u.csv", "-q", "-o", "out", "--betas", "2,8", "--methods", "ib,plug-in", "--no-plots"]) == 0
    )
    out, _ = capsys.readouterr()
    assert "+-" not in out and "better" not in out and "even" not in out
    assert "one split of 30 symbols: no standard error" in out
    assert re.search(r"on one split: no standard error, and so no verdict\n +30  ib +[+-]\d\.\d{4}\n", out)
    with open("out/summary.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    empty = {name for row in rows for name in row if name.endswith(("_se", "verdict")) and row[name] != ""}
    assert empty == set() and len(rows) == 2


def test_compare_takes_sparse_tables_and_array_features_and_no_pictures(folder, capsys):
    counts = np.array([[5, 3, 1], [1, 8, 2], [0, 1, 9]])
    sparse.save_npz("t.npz", sparse.csr_array(counts))
    np.save("f.npy", np.arange(6.0).reshape(3, 2))
    command = "compare t.npz t.csv -q -o out --splits 2 --betas 4 --methods ib,maxent --features f.npy --no-plots --seed 3"
    assert main(command.split()) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "plug-in" not in out
    assert sorted(os.listdir("out")) == ["comparison.csv", "summary.csv"]


# --- remarks of solve ---------------------------------------------------------------------------------------------------


def output(command, capsys):
    assert main(command.split()) == 0
    return capsys.readouterr().out


def test_the_command_line_names_the_onset(folder, capsys):
    (folder / "flat.csv").write_text(",a,b\nu,1,2\nv,2,4\n", encoding="utf-8")
    large = np.random.default_rng(0).poisson(2.0, (300, 80)) + 1
    np.save("large.npy", large)
    out = output("solve t.csv --beta 0.5", capsys)
    assert re.search(
        rf"one cluster +beta is below the onset of learning, {dualib.onset(joint()):.6g}: give a larger one\n", out
    )
    assert "onset" not in output("solve t.csv --beta 9", capsys)
    assert "nothing can be learned: y does not depend on x" in output("solve flat.csv --beta 9", capsys)
    bound = dualib.local_critical_beta(dualib.JointDistribution.from_counts(large))
    assert f"the onset of learning, at most {bound:.6g}: give" in output("solve large.npy --beta 2 --tol 1e-6", capsys)


def test_a_cap_above_the_number_of_x_is_said(capsys):
    assert "12 is more than the 3 x, so it caps nothing" in output("solve t.csv --beta 9 --n-clusters 12", capsys)
    assert "caps nothing" not in output("solve t.csv --beta 9 --n-clusters 3", capsys)
    capped, free = (dualib.solve(dualib.datasets.toy(), 50.0, n_clusters=k) for k in (12, None))
    assert capped.status is dualib.Status.CONVERGED and capped.objective == free.objective
