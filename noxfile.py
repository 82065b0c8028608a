"""The gates of the project, one session each; ``.ci/run`` runs them all.

Whatever imports the package imports the built wheel, never the source tree.
"""

import os
import re
import tempfile
from pathlib import Path

import nox

PYPROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PYPROJECT)
NEWEST = PYTHONS[-1]
ROOT = Path(__file__).parent
WHEELS = tempfile.TemporaryDirectory(prefix="esmtp-async-wheel-")

PROOF_OF_WHEEL = """
import esmtp_async, pathlib, sysconfig
installed = pathlib.Path(sysconfig.get_path("purelib"))
assert pathlib.Path(esmtp_async.__file__).is_relative_to(installed), esmtp_async
"""

FUZZED = [
    *("replies", "conversation", "challenges"),
    *("addresses", "parameters", "servers", "reports"),
]

#: The tests that `tests` leaves out: what picks them, and where they are.
APART = {
    "mutation": ("mutation", "tests/protocol/test_mutation.py"),
    "simulation": ("simulation", "tests/simulation"),
    "interop": ("(interop and not kerberos and not matrix)", "tests/interop"),
}

PROTOCOL = "src/esmtp_async/protocol/*"
REST = "src/esmtp_async/*"

# All that a command of the README gets from here: programs, and pip's way to its index.
CLEAN_ENVIRONMENT = re.compile(
    r"PATH|PIP_\w+|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|(https?|all|no)_proxy",
    re.IGNORECASE,
)
SUCCESS = re.compile(r"\b(accepted|passed|success(ful(ly)?)?)\b", re.IGNORECASE)
FAILURE = re.compile(
    r"(?<!\b0 )\b(errors?|fail(s|ed|ure)?|refused|unknown)\b", re.IGNORECASE
)

# A shim of pyenv runs only the versions that are named here, all the installed ones.
PYENV = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
os.environ["PYENV_VERSION"] = ":".join(
    version.name for python in PYTHONS for version in sorted(PYENV.glob(f"{python}.*"))
)

nox.needs_version = ">=2026.10.20"
nox.options.default_venv_backend = "venv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["lint", "tests", "mutation", "docs", "examples"]


def install(session: nox.Session, group: str) -> None:
    """Install the wheel with all its extras, and a dependency group.

    The wheel is built once a run of nox. In a reused environment it replaces the one of
    before, which pip would keep, as the version is the same.
    """
    pip = ("python", "-m", "pip", "--quiet")
    if not list(Path(WHEELS.name).iterdir()):
        session.run(*pip, "wheel", "--no-deps", "--wheel-dir", WHEELS.name, str(ROOT))
    (wheel,) = Path(WHEELS.name).iterdir()
    requirements = nox.project.dependency_groups(PYPROJECT, group)
    session.install(f"{wheel}[testing,trio,uvloop]", *requirements)
    session.run(*pip, "install", "--force-reinstall", "--no-deps", str(wheel))
    session.run("python", "-c", PROOF_OF_WHEEL)


def run_apart(session: nox.Session, *names: str) -> None:
    """Run tests that are left out elsewhere; no server they need may be missing."""
    marks, paths = zip(*(APART[name] for name in names), strict=True)
    required = {"ESMTP_REQUIRE_INTEROP": "1"}
    session.run("pytest", "-n", "4", "-m", " or ".join(marks), *paths, env=required)


def run_samples(session: nox.Session) -> None:
    """Run every code sample of the documentation."""
    session.run("pytest", "docs", "README.md")


@nox.session
def lint(session: nox.Session) -> None:
    """Style, format and types; every public name is typed."""
    install(session, "dev")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")
    session.run("pyright")
    session.run("pyright", "--verifytypes", "esmtp_async", "--ignoreexternal")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run all tests that need nothing but Python; on the newest one, gate the coverage.

    There it takes the least time. With arguments of your own
    (``nox -s tests-3.11 -- -k pool``) there is no gate.
    """
    install(session, "test")
    apart = "not browser and not interop and not mutation and not simulation"
    pytest = ["pytest", "-n", "4", "-m", apart]
    if session.posargs:
        session.run(*pytest, *session.posargs)
        return
    proof = "tests/protocol/test_product.py"
    if session.python != NEWEST:
        # What is proved of the table is proved whatever the Python.
        session.run(*pytest, f"--ignore={proof}")
        return
    session.run(*pytest, proof)  # by itself, for to be watched takes it minutes
    # Not by pytest-cov, which would start after the package's own pytest plugin.
    session.env["COVERAGE_FILE"] = str(Path(session.create_tmp()) / "coverage")
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", *pytest, f"--ignore={proof}")
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report", f"--include={PROTOCOL}", "--fail-under=100")
    session.run(
        *("coverage", "report", f"--include={REST}", f"--omit={PROTOCOL}"),
        "--fail-under=95",
    )


@nox.session
def mutation(session: nox.Session) -> None:
    """Change the transition table in every single place; each change must be caught."""
    install(session, "test")
    run_apart(session, "mutation")


@nox.session
def fuzz(session: nox.Session) -> None:
    """Look for octets that break a promise, for half a minute in all.

    ``nox -s fuzz -- 600 replies`` takes as many seconds for as many targets as named.
    """
    install(session, "test")
    session.install(*nox.project.dependency_groups(PYPROJECT, "fuzz"))
    seconds, *targets = session.posargs or [str(30 // len(FUZZED)), *FUZZED]
    for target in targets:
        findings = f"-artifact_prefix={session.create_tmp()}/"
        session.run(
            *("python", "-m", "tests.fuzz", target),
            *(f"-max_total_time={seconds}", findings),
        )


@nox.session
def simulation(session: nox.Session) -> None:
    """Run a share of what `simulate`, `exhaustive` and `batches` run, for a minute."""
    install(session, "test")
    run_apart(session, "simulation")


@nox.session
def simulate(session: nox.Session) -> None:
    """Let everything go wrong at once, 200,000 times in virtual time.

    ``nox -s simulate -- --seed N`` replays one session and prints it.
    """
    install(session, "test")
    session.run("python", "-m", "tests.simulation", *session.posargs)


@nox.session
def exhaustive(session: nox.Session) -> None:
    """Let every fault befall every place of every transcript; it takes minutes.

    ``nox -s exhaustive -- starttls trio`` takes the parts and transcripts so named.
    """
    install(session, "test")
    session.run("python", "-m", "tests.simulation.exhaustive", *session.posargs)


@nox.session
def batches(session: nox.Session) -> None:
    """Let every fault befall every place of a few batches; it takes half an hour.

    ``nox -s batches -- eager asyncio`` takes the batches and loops so named.
    """
    install(session, "test")
    session.run("python", "-m", "tests.simulation.batches", *session.posargs)


@nox.session
def endurance(session: nox.Session) -> None:
    """Fail 100,000 times in a row over real sockets, and count what is held."""
    install(session, "test")
    session.run("python", "-m", "tests.simulation.endurance", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Hold the peers side by side, and write docs/performance.md; it takes minutes.

    ``nox -s bench -- --quick`` takes half a minute, and writes nothing.
    """
    install(session, "bench")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Run every code sample of the documentation."""
    install(session, "test")
    run_samples(session)


@nox.session
def examples(session: nox.Session) -> None:
    """Run the example programs' own test suites, by the plugin and its fixtures."""
    install(session, "examples")
    session.run("pytest", "examples")


@nox.session
def browser(session: nox.Session) -> None:
    """Look at the page of `esmtp serve` in Chromium, which must be installed."""
    install(session, "test")
    session.run("pytest", "-m", "browser", "tests/serve")


@nox.session
def interop(session: nox.Session) -> None:
    """Talk to the real servers; one that is not installed is a failure."""
    install(session, "test")
    run_apart(session, "interop")


@nox.session
def together(session: nox.Session) -> None:
    """Show what `mutation`, `simulation`, `docs` and `interop` do, in less time.

    They share an environment, and what computes fills the time in which others wait.
    """
    install(session, "test")
    run_samples(session)
    run_apart(session, *APART)


@nox.session
def matrix(session: nox.Session) -> None:
    """Talk to the real servers in every way, and write docs/interop.md.

    It takes half an hour.
    """
    install(session, "test")
    written = {"ESMTP_REQUIRE_INTEROP": "1", "ESMTP_WRITE_INTEROP": "1"}
    everything = "interop and not kerberos"
    session.run("pytest", "-n", "4", "-m", everything, "tests/interop", env=written)


@nox.session
def kerberos(session: nox.Session) -> None:
    """Authenticate by tickets of a real KDC; the first build takes minutes."""
    install(session, "kerberos")
    session.run("pytest", "-m", "kerberos", env={"ESMTP_REQUIRE_INTEROP": "1"})


@nox.session(venv_backend="none")
def readme(session: nox.Session) -> None:
    """Type the README's two commands, to the letter, into a fresh clone of HEAD."""
    with tempfile.TemporaryDirectory(prefix="esmtp-async-readme-") as scratch:
        clone = Path(scratch) / "clone"
        session.run(
            *("git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone)),
            external=True,
        )
        commands = two_commands((clone / "README.md").read_text(encoding="utf-8"))
        if len(commands) != 2:
            session.error(f"README.md has {len(commands)} commands, not 2")
        environment = {
            name: value
            for name, value in os.environ.items()
            if CLEAN_ENVIRONMENT.fullmatch(name)
        }
        session.chdir(clone)
        outputs = [
            str(
                session.run(
                    *("bash", "-euo", "pipefail", "-c", command),
                    env=environment | {"HOME": scratch},
                    include_outer_env=False,
                    external=True,
                    silent=True,
                )
            )
            for command in commands
        ]
    print(*outputs, sep="", flush=True)
    last_line = outputs[-1].rstrip().rpartition("\n")[2]
    if FAILURE.search(last_line) or not SUCCESS.search(last_line):
        session.error(f"the last line tells no success: {last_line!r}")


def two_commands(readme: str) -> list[str]:
    """Return the ``sh`` blocks of the section "Two commands"."""
    _, _, section = readme.partition("\n## Two commands\n")
    section, _, _ = section.partition("\n## ")
    return re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
