"""Fuzz one target, guided by the branches it takes: `python -m tests.fuzz TARGET`.

Whatever follows the name goes to libFuzzer: `-max_total_time=600`, a folder that
keeps what was found, an input to try again.
"""

# pyright: reportAttributeAccessIssue=false
# What atheris offers is compiled, and has no types.

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["esmtp_async"]):
    from tests.fuzz.seeds import write_seeds
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Run libFuzzer until it has had its time or something is found."""
    name, *arguments = sys.argv[1:]
    target = TARGETS[name]
    with write_seeds(name) as folder:
        atheris.Setup([sys.argv[0], *arguments, str(folder)], target)
        atheris.Fuzz()


main()
