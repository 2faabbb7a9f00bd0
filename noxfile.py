"""Environments that a larger machine can run: ``nox`` (https://nox.thea.codes), all of them or ``nox -s oldest``.

oldest      Python 3.10 with the oldest versions that setup.cfg declares
newest      Python 3.13 with the newest of everything, pre-releases too
default     whatever Python runs nox, as the README sets it up
docs        the site, every warning an error, into build/site
slow        the environments that compile everything anew, with bounds checked and in six processes at once
mutation    small changes of the code that the tests should notice
python_only the tests without the compiler, with branch coverage
nightly     50,000 examples of each relation, 200 kills, 100,000 mutated files, all degeneracies
"""

import configparser
import pathlib
import re

import nox

nox.options.sessions = ["default"]
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
OF_THEIR_TIME = ("pyparsing == 2.4.*",)  # later ones warn where the oldest matplotlib calls them
EXTRA = ("pytest >= 7.4", "pytest-xdist >= 3.5", "hypothesis >= 6.80", "mpmath >= 1.3")


def oldest_versions() -> list[str]:
    """``numpy == 1.24.*`` and so on, from setup.cfg."""
    config = configparser.ConfigParser()
    config.read(pathlib.Path(__file__).parent / "setup.cfg")
    lines = [config["options"]["install_requires"]]
    lines += [config["options.extras_require"][extra] for extra in ("parallel", "pandas", "xarray", "sklearn")]
    declared = re.findall(r"^([\w-]+) *>= *([\d.]+)", "\n".join(lines), re.M)
    return [f"{name} == {version}.*" for name, version in declared]


@nox.session(python="3.10")
def oldest(session: nox.Session) -> None:
    """The oldest versions that are declared to work."""
    session.install(*oldest_versions(), *OF_THEIR_TIME, *EXTRA)
    session.install("--no-deps", ".")
    session.run("pytest", *session.posargs, env=ONE_THREAD)


@nox.session(python="3.13")
def newest(session: nox.Session) -> None:
    """The newest versions."""
    session.install("--pre", "--upgrade", ".[test]")
    session.run("pytest", *session.posargs, env=ONE_THREAD)


@nox.session
def default(session: nox.Session) -> None:
    """As the README sets it up."""
    session.install(".[test]")
    session.run("pytest", *session.posargs, env=ONE_THREAD)


@nox.session
def docs(session: nox.Session) -> None:
    """The site, and what holds it together."""
    session.install(".[docs]")
    session.run("python", "-m", "sphinx", "-W", "--keep-going", "docs", "build/site", env=ONE_THREAD)
    session.run("python", "docs/check.py", "build/site")


@nox.session
def slow(session: nox.Session) -> None:
    """Everything compiled anew."""
    session.install(".[test]")
    session.run("pytest", "tests/test_environments.py", "tests/engine/test_cache.py", env={**ONE_THREAD, "DUALIB_SLOW": "1"})


@nox.session
def python_only(session: nox.Session) -> None:
    """Branch coverage, the compiled functions being Python."""
    session.install("-e", ".[test]")
    session.run("coverage", "run", "-m", "pytest", *session.posargs, env={**ONE_THREAD, "NUMBA_DISABLE_JIT": "1"})
    session.run("coverage", "report")


@nox.session
def mutation(session: nox.Session) -> None:
    """Half an hour of mutants."""
    session.install(".[test]", "cosmic-ray")
    session.run("python", "benchmarks/mutation.py", *session.posargs, env=ONE_THREAD)


@nox.session
def nightly(session: nox.Session) -> None:
    """Hours of hypothesis, kills, mutated files and degeneracies."""
    session.install(".[test]")
    relations = ("tests/test_metamorphic.py", "tests/test_properties.py")
    session.run("pytest", *relations, env={**ONE_THREAD, "DUALIB_EXAMPLES": "nightly"})
    for benchmark in ("kill", "fuzz", "degenerate"):
        session.run("python", f"benchmarks/{benchmark}.py", env=ONE_THREAD)
