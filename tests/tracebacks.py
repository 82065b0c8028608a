"""What an error gives away: its own text, and the variables of what it went through."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

_TESTS: Final = str(Path(__file__).parent)


def given_away(error: BaseException) -> str:
    """Give all that somebody who has the error can see of our secrets.

    That is the errors behind it too, those included that a traceback leaves out.
    The variables of tests are not the package's to keep clean.
    """
    return "\n".join(text for each in _chain(error, set()) for text in _told(each))


def _chain(error: BaseException | None, seen: set[int]) -> Iterator[BaseException]:
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    yield error
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    for each in (error.__cause__, error.__context__, *inner):
        yield from _chain(each, seen)


def _told(error: BaseException) -> Iterator[str]:
    yield f"{error} {error!r} {vars(error)}"
    trace = error.__traceback__
    while trace is not None:
        frame, trace = trace.tb_frame, trace.tb_next
        if not frame.f_code.co_filename.startswith(_TESTS):
            variables = frame.f_locals.items()
            shown = (f"{name}={_shown(value)}" for name, value in variables)
            yield f"{frame.f_code.co_qualname}: {', '.join(shown)}"


def _shown(value: object) -> str:
    try:
        return repr(value)
    except AttributeError:
        return "(not made yet)"  # as any tool that shows variables would say
