"""The command line: ``dualib demo``, ``dualib solve``, ``dualib anneal``, ``dualib report``, ``dualib compare``."""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NoReturn, TextIO

import dualib
from dualib import doors
from dualib.cli import compare as comparison_command
from dualib.cli import report as report_command
from dualib.cli.anneal import run_anneal
from dualib.cli.input import LAYOUT_HELP, add_reading
from dualib.cli.solve import run_solve
from dualib.warnings import DualibWarning

_TABLE_HELP = f"""\
FILE is a table of counts or of probabilities, rows x and columns y; it is divided by its sum:
  .csv, .tsv    with or without a header line and a column of labels (an empty
                corner cell says that both are there)
  .npy, .npz    one array, or one called counts or pxy
  .npz, .mtx    sparse: scipy.sparse.save_npz, Matrix Market
  .xlsx, .ods, .parquet    by pandas, where it is installed
{LAYOUT_HELP}"""


_MAIN_EPILOG = """\
examples:
  dualib demo                                    letters of English: tables and pictures in ./dualib-demo
  dualib solve counts.csv --beta 5               the optimal clusters at one trade-off
  dualib anneal counts.csv --distortion dualib   the whole path, as a table and pictures
  dualib report counts.csv -o report.html        all of it as one page, to read or to hand on
  dualib compare train.csv test.csv              held-out prediction, beside the plain estimate

beta is the price of distortion against rate: the larger, the more clusters.
'dualib COMMAND --help' explains each command. Information is in nats unless --unit bits is given.
"""


_SOLVE_EPILOG = (
    _TABLE_HELP
    + """
examples:
  dualib solve counts.csv --beta 5                            or: dualib solve counts.csv 5
  dualib solve counts.csv --beta 5 --distortion dualib --smoothing 0.5
  dualib solve counts.mtx --beta 20 --n-clusters 4 --unit bits
  dualib solve counts.mtx --beta 20 --alpha 0                hard clusters, as many as pay for their entropy
  dualib solve counts.npy --beta 5 --json > solution.json
  dualib solve counts.csv --beta 5 --save solution.npz      then: dualib.load("solution.npz")

The gap is a bound on how far the objective is from the global optimum, "rigorous" where it is proved, "multistart" where
a search found nothing better, and "heuristic" where zeros leave the dual IB more sets of y than that search could look at.
"""
)


_ANNEAL_EPILOG = (
    _TABLE_HELP
    + """
examples:
  dualib anneal counts.csv
  dualib anneal counts.csv --distortion dualib -o results
  dualib anneal counts.csv --betas 1,2,4,8,16                 or: dualib anneal counts.csv 1,2,4,8,16
  dualib anneal samples.csv --layout samples --header no      a line for each sample: x, y
  dualib anneal counts.npz --beta-min 1 --beta-max 50 --unit bits --no-plots
  dualib anneal counts.csv --n-clusters 8 --betas 5,20,100     the best that 8 clusters do, with a bound for so many
  dualib anneal large.npz --betas 5,20 --no-events --no-plots
  dualib anneal large.npz --checkpoint large.checkpoint        interrupted? the same command goes on

Without --betas the grid of beta is adaptive: it begins below the onset of learning, ends where all but a thousandth
of I(X;Y) is kept, and is finest where the solution changes. Written into DIR, for the distortion ib:
  ib-curve.csv                one row per beta
  ib-curve.npz                everything, encoders and decoders too, for dualib.load
  ib-information-plane.png    relevance against rate
  ib-bifurcations.png         the tree of clusters over beta; ...-by-y.png the same in other coordinates
  ib-clusters.png             who is in which cluster, at three betas
"""
)


_DEMO_EPILOG = """\
example:
  dualib demo -o letters

Which letter follows which in English text (27 x 27: the alphabet and the space between words, shown as _) is
clustered by the Information Bottleneck and by its dual, over the whole range of beta, in seconds; the first time some
functions are compiled, which takes some six seconds more.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; bad input, or a missing extra, costs one line on stderr, never a traceback.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default those of the process.

    Returns
    -------
    int
        0, or 2 on bad input, or 130 when interrupted.

    Raises
    ------
    SystemExit
        From ``--help`` and ``--version`` (code 0) and from arguments that cannot be parsed (code 2).
    """
    if argv is None:
        _prepare_process()
    parser = _parser()
    arguments = parser.parse_args(argv)
    if argv is None and getattr(arguments, "quiet", False):
        doors.speaks = False
    with warnings.catch_warnings():
        warnings.simplefilter("always", DualibWarning)
        warnings.showwarning = _show_warning
        try:
            arguments.run(arguments)
            sys.stdout.flush()
        except BrokenPipeError:  # the reader of a pipe, such as head, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except (ValueError, OSError, MemoryError, ImportError) as error:
            print(f"dualib {arguments.command}: error: {_one_line(error)}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print(f"dualib {arguments.command}: interrupted", file=sys.stderr)
            return 130
    return 0


def _prepare_process() -> None:
    """Set up the process of a command: one thread for linear algebra, output that no label can break, and a word on compiling.

    The matrices are small: more threads gain nothing on free cores and, waiting for each other, cost a factor of
    ten and more on busy ones. The variables are read when NumPy is first imported, which is later.
    """
    for library in ("OPENBLAS", "MKL", "OMP"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    doors.speaks = True
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


class _Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line, with the options or the command that may have been meant."""

    commands: Mapping[str, _Parser] = MappingProxyType({})
    given: Sequence[str] = ()

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does, but that beta may stand after the file, and the command whose option is not known complains itself."""
        arguments, unknown = self.parse_known_args(args, namespace)
        parser = self.commands.get(getattr(arguments, "command", ""), self)
        unknown = _without_beta(arguments, unknown, self.given)
        if getattr(arguments, "beta", 0.0) is None:
            parser.error("the following arguments are required: --beta")
        if unknown:
            parser.given = unknown
            parser.error(f"unrecognized arguments: {' '.join(unknown)}")
        return arguments

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does; keeps what was given, for `error`."""
        self.given = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}{self._suggestion()} (see '{self.prog} --help')\n")

    def _suggestion(self) -> str:
        """The nearest names of a command or of options that there are not."""
        import difflib

        if self.commands:
            known, odd = list(self.commands), [word for word in self.given[:1] if word not in self.commands]
        else:
            known = re.findall(r"(?<![\w.-])--?[a-z][a-z0-9-]*", self.format_help())
            words = [word.split("=")[0] for word in self.given if re.match(r"--?[^\W\d]", word)]
            odd = [word for word in words if word not in known]
        near = [found[0] for word in odd if (found := difflib.get_close_matches(word.lower().replace("_", "-"), known, 1))]
        return f"; did you mean {' and '.join(dict.fromkeys(near))}?" if near else ""


def _without_beta(arguments: argparse.Namespace, unknown: list[str], given: Sequence[str]) -> list[str]:
    """Take what stands right after the file for beta or betas, where these are not given; returns what is still unknown."""
    name = next((name for name in ("beta", "betas") if getattr(arguments, name, 0.0) is None), None)
    file = getattr(arguments, "file", None)
    if name is None or not unknown or file not in given or unknown[0] not in given[given.index(file) + 1 :][:1]:
        return unknown
    try:
        values = _numbers(unknown[0])
    except ValueError:
        return unknown
    if name == "beta" and len(values) != 1:
        return unknown
    setattr(arguments, name, values[0] if name == "beta" else values)
    return unknown[1:]


def _parser() -> argparse.ArgumentParser:
    layout: dict[str, Any] = {"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False}
    summary = "The Information Bottleneck and the dual Information Bottleneck, solved to certified optimality."
    parser = _Parser(prog="dualib", description=summary, epilog=_MAIN_EPILOG, **layout)
    parser.add_argument("--version", action="version", version=f"dualib {dualib.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    demo = "solve IB and dual IB on English letters; write tables and pictures"
    command = commands.add_parser("demo", help=demo, description=_sentence(demo), epilog=_DEMO_EPILOG, **layout)
    command.add_argument("-o", "--output", metavar="DIR", default="dualib-demo", help="folder to write (default: %(default)s)")
    command.add_argument("-q", "--quiet", action="store_true", help="no progress bar")
    command.set_defaults(run=_run_demo)

    solve = "the optimal clusters of x at one beta, with their distance to the global optimum"
    command = commands.add_parser("solve", help=solve, description=_sentence(solve), epilog=_SOLVE_EPILOG, **layout)
    _add_problem(command)
    command.add_argument("--beta", metavar="B", type=float, help="trade-off, > 0; may also stand right after FILE")
    command.add_argument(
        "--n-clusters", metavar="N", type=int, help="use at most N clusters (default: as many as are optimal)"
    )
    _add_alpha(command)
    command.add_argument("--save", metavar="PATH", help="write the solution as .npz, for dualib.load")
    command.add_argument("--json", action="store_true", help="print everything as JSON instead, encoder and decoder too")
    command.set_defaults(run=run_solve)

    anneal = "the whole path over beta: a table, the saved curve and pictures"
    command = commands.add_parser("anneal", help=anneal, description=_sentence(anneal), epilog=_ANNEAL_EPILOG, **layout)
    _add_problem(command)
    command.add_argument(
        "-o", "--output", metavar="DIR", default="dualib-anneal", help="folder to write (default: %(default)s)"
    )
    command.add_argument("--betas", metavar="B,B,...", type=_numbers, help="exactly these; may also stand right after FILE")
    command.add_argument("--beta-min", metavar="B", type=float, help="where the adaptive grid begins")
    command.add_argument("--beta-max", metavar="B", type=float, help="where the adaptive grid ends")
    command.add_argument(
        "--n-clusters", metavar="N", type=int, help="at most N clusters at each beta: then no events and no onset"
    )
    _add_alpha(command)
    command.add_argument("--no-events", action="store_true", help="do not locate the events between the betas: faster")
    command.add_argument(
        "--checkpoint", metavar="PATH", help="record every point in PATH; the same command then goes on from it"
    )
    command.add_argument("--no-plots", action="store_true", help="write the table and the curve only")
    command.add_argument("-q", "--quiet", action="store_true", help="no progress bar")
    command.set_defaults(run=run_anneal)

    report = report_command.SUMMARY
    command = commands.add_parser("report", help=report, description=_sentence(report), epilog=report_command.EPILOG, **layout)
    _add_problem(command)
    report_command.add_arguments(command, _numbers)

    compare = comparison_command.SUMMARY
    command = commands.add_parser(
        "compare", help=compare, description=_sentence(compare), epilog=comparison_command.EPILOG, **layout
    )
    comparison_command.add_arguments(command, _numbers)
    parser.commands = commands.choices
    return parser


def _add_problem(command: argparse.ArgumentParser) -> None:
    """Add the arguments that `solve` and `anneal` share."""
    command.add_argument("file", metavar="FILE", help="table of counts or probabilities, see below")
    add_reading(command)
    ib, dual = "ib: KL( p(y|x) || p(y|t) )", "dualib: KL( p(y|t) || p(y|x) )"
    command.add_argument("--distortion", choices=("ib", "dualib"), default="ib", help=f"{ib}; {dual} (default: ib)")
    smoothing = "added to every cell of the table first, in its unit: a pseudocount (default: 0, zeros are exact)"
    command.add_argument("--smoothing", metavar="A", type=float, default=0.0, help=smoothing)
    command.add_argument("--tol", metavar="T", type=float, default=1e-9, help="wanted gap in nats (default: %(default)s)")
    command.add_argument("--unit", choices=("nats", "bits"), default="nats", help="of all that is printed (default: nats)")
    command.add_argument("--seed", metavar="N", type=int, help="of the search (default: a fixed one, so results repeat)")


def _add_alpha(command: argparse.ArgumentParser) -> None:
    text = (
        "price of randomness, from 0 to 1: 1 is the Information Bottleneck (default), 0 the deterministic one, hard clusters"
    )
    command.add_argument("--alpha", metavar="A", type=float, default=1.0, help=text)


def _run_demo(arguments: argparse.Namespace) -> None:
    from dualib.cli.demo import run_demo

    run_demo(arguments.output, progress=not arguments.quiet)


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.replace(",", " ").split()]


_numbers.__name__ = "list of numbers"  # what argparse calls it when it complains


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    print(f"dualib: warning: {' '.join(str(message).split())}", file=sys.stderr)
