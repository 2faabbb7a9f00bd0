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
from dualib.cli import anneal, compare, report, solve
from dualib.cli.input import add_output, numbers
from dualib.warnings import DualibWarning

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


_DEMO = "solve IB and dual IB on English letters; write tables and pictures"
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
        values = numbers(unknown[0])
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
    command = commands.add_parser("demo", help=_DEMO, description=_sentence(_DEMO), epilog=_DEMO_EPILOG, **layout)
    add_output(command, "dualib-demo")
    command.set_defaults(run=_run_demo)
    for module in (solve, anneal, report, compare):
        name, summary = module.__name__.rpartition(".")[2], module.SUMMARY
        command = commands.add_parser(name, help=summary, description=_sentence(summary), epilog=module.EPILOG, **layout)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    parser.commands = commands.choices
    return parser


def _run_demo(arguments: argparse.Namespace) -> None:
    from dualib.cli.demo import run_demo

    run_demo(arguments.output, progress=not arguments.quiet)


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
