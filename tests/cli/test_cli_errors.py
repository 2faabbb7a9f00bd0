"""The command line: help, one clear line for each bad input, exit codes, progress."""

import io
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import dualib
from dualib import progress
from dualib.cli.main import _prepare_process, main

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(dualib.__file__).parents[1])}  # the package that is tested here


COMPARE = "compare t.csv t.csv -q -o out --splits 2 --betas 2,8 --smoothing 0.1,0.5"


def test_help_of_a_process_of_its_own():
    run = subprocess.run(
        [sys.executable, "-m", "dualib", "--help"], capture_output=True, text=True, timeout=60, env=ENVIRONMENT
    )
    assert run.returncode == 0
    for word in ("demo", "solve", "anneal", "compare", "examples:", "dualib solve counts.csv --beta 5"):
        assert word in run.stdout


def test_the_module_is_the_command(monkeypatch, capsys):
    assert main(["solve", "t.csv", "--beta", "5"]) == 0
    expected = capsys.readouterr().out
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    for library in ("OPENBLAS", "MKL"):
        monkeypatch.setenv(f"{library}_NUM_THREADS", "")
        monkeypatch.delenv(f"{library}_NUM_THREADS")
    monkeypatch.setattr(sys, "argv", ["dualib", "solve", "t.csv", "--beta", "5"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_module("dualib", run_name="__main__")
    assert stop.value.code == 0
    assert capsys.readouterr().out == expected
    threads = [os.environ[f"{library}_NUM_THREADS"] for library in ("OPENBLAS", "MKL", "OMP")]
    assert threads == ["1", "1", "3"]  # what is set already stays


def test_a_label_that_the_console_cannot_print_is_escaped(monkeypatch):
    raw = io.BytesIO()
    console = io.TextIOWrapper(raw, encoding="ascii")
    monkeypatch.setattr(sys, "stdout", console)
    monkeypatch.setattr(sys, "argv", ["dualib", "solve", "t.csv", "--beta", "5"])
    _prepare_process()
    print("\u00e9", file=console, flush=True)
    assert raw.getvalue().strip() == b"\\xe9"


def test_help_needs_no_numpy():
    code = "import sys, dualib.cli.main; dualib.cli.main._parser(); sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, env=ENVIRONMENT).returncode == 0


@pytest.mark.parametrize("command", ["demo", "solve", "anneal", "compare"])
def test_each_help_has_examples(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"  dualib {command} " in capsys.readouterr().out


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"dualib {dualib.__version__}\n"


SOLVE, ANNEAL = "solve t.csv --beta 5", "anneal t.csv -q -o out"


BAD = {
    "": "dualib: error: the following arguments are required: COMMAND",
    "frob": "argument COMMAND: invalid choice: 'frob'",
    "solve t.csv": "dualib solve: error: .*required: --beta",
    "solve t.csv --beta x": "argument --beta: invalid float value: 'x'",
    "solve t.csv --beta 0": "beta must .*got 0.0",
    "solve t.csv --beta -3": "beta must .*got -3.0",
    "solve t.csv --beta nan": "beta must .*got nan",
    "solve t.csv --beta inf": "beta must .*got inf",
    "solve none.csv --beta 5": "none.csv: No such file or directory",
    "solve ragged.csv --beta 5": "'ragged.csv', line 3: ragged",
    "solve text.npy --beta 5": "'text.npy' is not a NumPy array",
    "solve taken --beta 5": "path must end in one of .*'taken'",
    f"{SOLVE} --distortion other": "argument --distortion: invalid choice: 'other'",
    f"{SOLVE} --n-clusters 0": "n_clusters must be at least 1, got 0",
    f"{SOLVE} --n-clusters 1.5": "argument --n-clusters: invalid int value: '1.5'",
    f"{SOLVE} --tol 0": "tol must .*got 0.0",
    f"{SOLVE} --tol nan": "tol must .*got nan",
    f"{SOLVE} --smoothing -1": "smoothing must .*got -1.0",
    f"{SOLVE} --smoothing nan": "smoothing must .*got nan",
    f"{SOLVE} --seed -1": "--seed must be >= 0, got -1",
    f"{SOLVE} --unit trits": "argument --unit: invalid choice: 'trits'",
    f"{SOLVE} --save none/s.npz": "--save: the folder 'none' does not exist",
    f"{SOLVE} --save .": "--save: '.' is a folder",
    f"{SOLVE} --b 3": "unrecognized arguments: --b 3",
    f"{ANNEAL} --betas 1,x": "argument --betas: invalid list of numbers value: '1,x'",
    f"{ANNEAL} --betas ,": "betas must",
    f"{ANNEAL} --betas 1,0": "betas must .*got 0.0",
    f"{ANNEAL} --betas 1,nan": "betas must .*",
    f"{ANNEAL} --betas 1,2 --beta-min 1": "betas .*beta_min",
    f"{ANNEAL} --beta-min 5 --beta-max 2": "beta_min must be below beta_max, got 5.0 and 2.0",
    f"{ANNEAL} --beta-min -1": "beta_min must .*got -1.0",
    "anneal t.csv -q -o taken": "--output: 'taken' is a file: name a folder",
    "demo -q -o taken": "--output: 'taken' is a file: name a folder",
    "compare t.csv": "dualib compare: error: .*required: TEST",
    "compare t.csv none.csv": "none.csv: No such file or directory",
    "compare t.csv wide.csv": "TEST must have the 3 y labels of TRAIN, got 4: 'd' is new",
    "compare t.csv other.csv": "TEST must have the y labels of TRAIN in the same order, got 'd' for 'c'",
    "compare bare.csv wide.csv -q -o out": "test_counts must have the shape of train_counts",
    "compare t.csv half.csv -q -o out": "test_counts must be whole numbers, .*got 0.5",
    f"{COMPARE} --methods ib,svm": "methods must be among .*got 'svm'",
    f"{COMPARE} --smoothing 0": "smoothing must be > 0, got 0.0",
    f"{COMPARE} --betas 1,0": "betas must .*got 0.0",
    f"{COMPARE} --n-train 99": "n_train must be at most .* 30, got 99",
    f"{COMPARE} --n-train 1.5": "n_train must be an integer .*got 1.5",
    f"{COMPARE} --n-train inf": "n_train must be an integer .*got inf",
    f"{COMPARE} --splits 0": "n_splits must .*got 0",
    f"{COMPARE} --seed -1": "--seed must be >= 0, got -1",
    f"{COMPARE} --features text.npy": "--features: 'text.npy' is not a NumPy array",
    f"{COMPARE} --features t.csv": "--features: 't.csv' must hold rows of numbers",
    f"{COMPARE} --features taken": "--features must end in .npy or .csv, got 'taken'",
    "compare t.csv t.csv -q -o taken": "--output: 'taken' is a file: name a folder",
}


@pytest.mark.parametrize("arguments", BAD)
def test_bad_input_is_one_line_and_exit_code_2(arguments, capsys):
    try:
        code = main(arguments.split())
    except SystemExit as stop:
        code = stop.code
    err = capsys.readouterr().err
    assert code == 2
    assert err.count("\n") == 1
    assert err.startswith("dualib")
    assert re.search(BAD[arguments], err), err


def test_an_interruption_is_code_130_without_a_traceback(monkeypatch, capsys):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("dualib.solving.solver.solve", interrupted)
    assert main(["solve", "t.csv", "--beta", "5"]) == 130
    assert capsys.readouterr().err == "dualib solve: interrupted\n"


def test_a_slip_of_our_own_is_not_hidden(monkeypatch):
    def broken(*arguments, **options):
        raise TypeError("a slip")

    monkeypatch.setattr("dualib.solving.solver.solve", broken)
    with pytest.raises(TypeError, match="a slip"):
        main(["solve", "t.csv", "--beta", "5"])


def test_a_reader_that_leaves_early_is_no_error(folder):
    command = [sys.executable, "-m", "dualib", "solve", "t.csv", "--beta", "5", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=120) == 0
    assert all(
        line.startswith(b"dualib: ") and b"rror" not in line for line in err.splitlines()
    )  # that it takes long, at most


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_redraws_one_line_on_a_terminal(monkeypatch):
    clock = iter(0.06 * i for i in range(100))
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.ProgressBar("work") as bar:
        bar.expect(4)
        for _ in range(4):
            bar.step()
    drawn = sys.stderr.getvalue()
    assert drawn.endswith("[####################] 4 of 4, 0.3 s\x1b[K\n")
    assert drawn.count("\n") == 1
    assert drawn.count("\r") == 3  # step 1, step 3 as the second comes too soon, and the end
    assert "work       [#####...............] 1 of 4" in drawn


def test_progress_is_one_line_at_the_end_elsewhere(capsys):
    bar = progress.ProgressBar("work")
    bar.expect(3)
    for _ in range(3):
        bar.step()
    assert capsys.readouterr().err == ""
    bar.close()
    bar.close()
    err = capsys.readouterr().err
    assert err.startswith("work       3 of 3, ")
    assert err.count("\n") == 1


def test_progress_without_a_console_is_silent(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    bar = progress.ProgressBar("work")
    with bar:
        bar.step()
    assert bar.done == 1


SUGGESTED = {
    "anneal t.csv --beta 3": ("dualib anneal: error: unrecognized arguments: --beta 3", "--betas"),
    "anneal t.csv --beta=3": ("dualib anneal: error: unrecognized arguments: --beta=3", "--betas"),
    "solve t.csv --betas 3": ("dualib solve: error: the following arguments are required: --beta", "--beta"),
    "solve t.csv --beta 3 --n_clusters 2": ("unrecognized arguments: --n_clusters 2", "--n-clusters"),
    "solve t.csv -beta 3": ("required: --beta", "--beta"),
    "solve t.csv --beta 3 --Smoothing 1": ("unrecognized arguments", "--smoothing"),
    "anneal t.csv --betamin 1 --betamax 2": ("unrecognized arguments", "--beta-min and --beta-max"),
    "compare t.csv t.csv --ntrain 10": ("dualib compare: error: unrecognized arguments", "--n-train"),
    "aneal t.csv": ("dualib: error: argument COMMAND: invalid choice: 'aneal'", "anneal"),
    "Solve t.csv": ("dualib: error: argument COMMAND: invalid choice: 'Solve'", "solve"),
}


@pytest.mark.parametrize("command", SUGGESTED)
def test_the_nearest_option_or_command_is_suggested(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main(command.split())
    err = capsys.readouterr().err
    start, name = SUGGESTED[command]
    assert stop.value.code == 2 and err.count("\n") == 1
    assert start in err and f"; did you mean {name}? (see 'dualib" in err


@pytest.mark.parametrize("command", ["solve t.csv --beta 3 --frobnicate 1", "xyzzy", "", "solve t.csv --beta -3 -3"])
def test_nothing_is_suggested_for_what_is_like_nothing(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main(command.split())
    assert stop.value.code == 2
    assert "did you mean" not in capsys.readouterr().err
