"""The gates of the project, one session each; ``.ci/run`` runs them all.

Whatever imports the package imports the built wheel, never the source tree.
"""

import os
import re
import shutil
import tarfile
import tempfile
from pathlib import Path

import nox
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

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

PROOF_OF_VERSIONS = """
import importlib.metadata, sys
from packaging.version import Version
for pin in sys.argv[1:]:
    name, version = pin.split("==")
    found = importlib.metadata.version(name)
    assert Version(found) == Version(version), f"{name} is {found}, not {version}"
"""

PROOF_OF_BARENESS = """
import importlib.metadata
installed = {each.name.lower() for each in importlib.metadata.distributions()}
needed = {"anyio", "esmtp-async", "idna", "typing_extensions"}
assert installed - {"pip", "setuptools"} == needed, installed
import esmtp_async, esmtp_async.protocol, esmtp_async.testing
for door in (esmtp_async, esmtp_async.testing):
    for name in door.__all__:
        getattr(door, name)
assert esmtp_async.__version__ == importlib.metadata.version("esmtp-async")
"""

#: Extras that come from source, or are made of the others.
COMPILED = {"all", "gssapi"}

#: Extras that allow an older version than another extra does, and their tests.
OLDER = {
    "dkim": ("tests/messages/test_dkim.py", "tests/messages/test_dkim_arguments.py")
}

FUZZED = [
    *("replies", "conversation", "challenges"),
    *("addresses", "parameters", "servers", "reports"),
]

#: The tests that `tests` leaves out: what picks them, and where they are.
APART = {
    "mutation": ("mutation", "tests/protocol/test_mutation.py"),
    "simulation": ("simulation", "tests/simulation"),
    "interop": ("(interop and not kerberos and not matrix)", "tests/interop"),
    "browser": ("browser", "tests/serve"),
}

#: What picks the others.
OTHERS = " and ".join(f"not {mark}" for mark in APART)

#: The release of mermaid that draws the site's diagrams.
MERMAID = "11.17.2"

PIP = ("python", "-m", "pip", "--quiet")

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
nox.options.sessions = ["lint", "tests", "mutation", "docs", "frameworks"]


def install(session: nox.Session, group: str) -> None:
    """Install the wheel with all its extras, and a dependency group.

    The wheel is built once a run of nox. In a reused environment it replaces the one of
    before, which pip would keep, as the version is the same.
    """
    wheel = wheel_of(session)
    requirements = nox.project.dependency_groups(PYPROJECT, group)
    session.install(f"{wheel}[testing,trio,uvloop]", *requirements)
    session.run(*PIP, "install", "--force-reinstall", "--no-deps", str(wheel))
    session.run("python", "-c", PROOF_OF_WHEEL)


def run_apart(session: nox.Session, *names: str) -> None:
    """Run tests that are left out elsewhere; no server they need may be missing."""
    marks, paths = zip(*(APART[name] for name in names), strict=True)
    required = {"ESMTP_REQUIRE_INTEROP": "1"}
    session.run("pytest", "-n", "4", "-m", " or ".join(marks), *paths, env=required)


def run_samples(session: nox.Session) -> None:
    """Run every code sample of the documentation."""
    session.run("pytest", "docs", "README.md", "--ignore=docs/frameworks")


def wheel_of(session: nox.Session) -> Path:
    """Give the wheel, built if this is the first time."""
    if not list(Path(WHEELS.name).iterdir()):
        session.run(*PIP, "wheel", "--no-deps", "--wheel-dir", WHEELS.name, str(ROOT))
    (wheel,) = Path(WHEELS.name).iterdir()
    return wheel


@nox.session
def lint(session: nox.Session) -> None:
    """Style, format and types; every public name is typed, and so that it helps."""
    install(session, "dev")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")
    session.run("pyright")
    session.run("pyright", "--verifytypes", "esmtp_async", "--ignoreexternal")
    session.run("python", "-m", "tests.typing")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run all tests that need nothing but Python; on the newest one, gate the coverage.

    There it takes the least time. With arguments of your own
    (``nox -s tests-3.11 -- -k pool``) there is no gate.
    """
    install(session, "test")
    pytest = ["pytest", "-n", "4", "-m", OTHERS]
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


@nox.session(python=PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """Run the tests with the oldest version of everything that pyproject.toml allows.

    The state machine needs none of it, and what names are called is told by the newest
    conventions. Where one extra allows an older version than another one does, its own
    tests are run with that too. With arguments (``nox -s lowest -- -k proxy``) they are
    those of pytest.
    """
    install(session, "test")
    extras = sorted(PYPROJECT["project"]["optional-dependencies"].keys() - COMPILED)
    pins = oldest(*extras)
    session.install(f"{wheel_of(session)}[{','.join(extras)}]", *pins)
    session.run("python", "-c", PROOF_OF_VERSIONS, *pins)
    elsewhere = ("tests/protocol", "tests/client/test_otel_names.py")
    left_out = [f"--ignore={path}" for path in elsewhere]
    everything = ("-n", "4", "-m", OTHERS, *left_out, "tests")
    session.run("pytest", *(session.posargs or everything))
    for extra, tests_of_it in OLDER.items():
        session.install(f"{wheel_of(session)}[{extra}]", *oldest(extra))
        session.run("pytest", "-n", "4", *tests_of_it)


def oldest(*extras: str) -> list[str]:
    """Give, as pins, the lower bounds of what the package and these extras need."""
    project = PYPROJECT["project"]
    lines = list(project["dependencies"])
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    bounds: dict[str, Version] = {}
    for requirement in map(Requirement, lines):
        for each in requirement.specifier:
            if each.operator == ">=":
                bound = Version(each.version)
                name = canonicalize_name(requirement.name)
                bounds[name] = max(bound, bounds.get(name, bound))
    api = bounds.get("opentelemetry-api")
    if api is not None:
        bounds["opentelemetry-sdk"] = api  # the tests need it, and one release of both
    return [f"{name}=={bound}" for name, bound in sorted(bounds.items())]


@nox.session
def package(session: nox.Session) -> None:
    """Build what would be published, twice; look at it, and install it bare."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "package"))
    scratch = Path(session.create_tmp())
    first, second = str(scratch / "first"), str(scratch / "second")
    commit = ("git", "log", "-1", "--format=%ct")
    when = str(session.run(*commit, external=True, silent=True)).strip()
    session.env["SOURCE_DATE_EPOCH"] = when
    for directory, what in ((first, ()), (second, ("--sdist", "--wheel"))):
        shutil.rmtree(directory, ignore_errors=True)
        session.run("python", "-m", "build", "--quiet", *what, "--outdir", directory)
    session.run("python", "-m", "tests.packaging", first, second)
    built = sorted(map(str, Path(first).iterdir()))
    session.run("twine", "check", "--strict", *built)
    (wheel,) = (each for each in built if each.endswith(".whl"))
    session.run("check-wheel-contents", wheel)
    bare = scratch / "bare"
    session.run("python", "-m", "venv", "--clear", str(bare))
    python = str(bare / "bin" / "python")
    session.run(python, "-m", "pip", "install", "--quiet", wheel, external=True)
    session.run(python, "-c", PROOF_OF_BARENESS, external=True)


@nox.session(venv_backend="none", name="release-check")
def release_check(session: nox.Session) -> None:
    """Check what must hold before a version is tagged; see docs/releasing.md."""
    version = PYPROJECT["project"]["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[(.+?)\](.*)$", changelog, re.MULTILINE)
    problems = []
    if not headings or headings[0][0] != version:
        problems.append(f"the topmost entry of CHANGELOG.md is not [{version}]")
    elif not re.fullmatch(r" - \d{4}-\d{2}-\d{2}", headings[0][1]):
        problems.append(f"[{version}] in CHANGELOG.md has no date")
    if session.run("git", "tag", "--list", f"v{version}", external=True, silent=True):
        problems.append(f"the tag v{version} is there already")
    if session.run("git", "status", "--porcelain", external=True, silent=True):
        problems.append("there are changes that are not committed")
    if problems:
        session.error("; ".join(problems))
    session.notify("package")


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
    """Run every code sample of the documentation, but for the apps of `frameworks`."""
    install(session, "test")
    run_samples(session)


@nox.session(python=[PYTHONS[0], NEWEST])
def frameworks(session: nox.Session) -> None:
    """Run the tests of the apps in docs/frameworks and examples.

    Each Python has a Django of its own.
    """
    install(session, "frameworks")
    session.run("pytest", "-n", "2", "docs/frameworks", "examples")


@nox.session
def browser(session: nox.Session) -> None:
    """Look at the page of `esmtp serve` in Chromium, which must be installed."""
    install(session, "test")
    run_apart(session, "browser")


@nox.session
def site(session: nox.Session) -> None:
    """Build the documentation as a site, in `site/`; a warning is an error.

    What draws the diagrams is brought along, so that the site loads nothing from
    anywhere else. ``nox -s site -- --quick`` uses the one of before.
    """
    install(session, "site")
    static = ROOT / "docs" / "_static"
    scratch = session.create_tmp()
    if not (static / "mermaid.min.js").exists() or "--quick" not in session.posargs:
        npm = ("npm", "pack", "--silent", "--pack-destination", scratch)
        session.run(*npm, f"mermaid@{MERMAID}")
        with tarfile.open(Path(scratch) / f"mermaid-{MERMAID}.tgz") as package:
            script = package.getmember("package/dist/mermaid.min.js")
            script.name = "mermaid.min.js"
            package.extract(script, static, filter="data")
    strict = ("--fail-on-warning", "--keep-going", "--nitpicky", "--fresh-env")
    aside = f"--doctree-dir={scratch}/doctrees"
    session.run("sphinx-build", "--quiet", *strict, aside, "docs", "site")
    session.run("python", "-m", "tests.docs.offline", "site")


@nox.session
def interop(session: nox.Session) -> None:
    """Talk to the real servers; one that is not installed is a failure."""
    install(session, "test")
    run_apart(session, "interop")


@nox.session
def together(session: nox.Session) -> None:
    """Show all that is run apart, and `docs`, in less time.

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
