"""One of the Python libraries at work: ``python -m benchmarks.worker NAME LOOP JOB``.

Prints what the measured messages cost this process, apart from its start, from the
connection and from the messages ahead.
"""

from __future__ import annotations

import sys
from typing import Final

import anyio

from benchmarks.jobs import Job, Sample
from benchmarks.senders import SENDERS, Sender

#: What `anyio.run` is told for each.
LOOPS: Final[dict[str, tuple[str, dict[str, bool]]]] = {
    "asyncio": ("asyncio", {}),
    "uvloop": ("asyncio", {"use_uvloop": True}),
    "trio": ("trio", {}),
}


async def work(sender: Sender, job: Job) -> Sample:
    """Do a job, and tell what it cost."""
    async with sender(job) as batch:
        await batch(job.warm)
        begun = Sample.now()
        await batch(job.messages)
        return Sample.now().since(begun)


def main() -> None:
    """Do what the command line says."""
    name, loop, job = sys.argv[1:]
    backend, options = LOOPS[loop]
    sample = anyio.run(
        work, SENDERS[name], Job.loads(job), backend=backend, backend_options=options
    )
    print(sample.dumps())


if __name__ == "__main__":
    main()
