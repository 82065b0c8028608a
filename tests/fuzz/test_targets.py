"""The targets of fuzzing, tried on what fuzzing begins with and on small changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.seeds import SEEDS
from tests.fuzz.targets import TARGETS, Target

each_target = pytest.mark.parametrize("name", TARGETS)


@each_target
def test_what_fuzzing_begins_with(name: str) -> None:
    """Every seed, and every seed that ends early."""
    assert SEEDS[name]
    for seed in SEEDS[name]:
        for end in range(0, len(seed) + 1, max(1, len(seed) // 50)):
            TARGETS[name](seed[:end])
        TARGETS[name](seed)


def changed(seed: bytes) -> st.SearchStrategy[bytes]:
    """Give a seed with a piece of it replaced."""
    place = st.integers(0, len(seed))
    piece = st.binary(max_size=8) | st.sampled_from(
        [b"\r\n", b"\n", b"\0", b"250 ok\r\n", b"334 \r\n", b"421 x\r\n", b">", b"\xff"]
    )
    return st.builds(
        lambda start, end, new: seed[:start] + new + seed[end:], place, place, piece
    )


@each_target
@given(st.data())
def test_any_octets(name: str, data: st.DataObject) -> None:
    target: Target = TARGETS[name]
    target(data.draw(st.binary() | st.sampled_from(SEEDS[name]).flatmap(changed)))
