"""The servers that the client is tested against, tested themselves."""

import pytest

pytest.register_assert_rewrite("tests.testing.talk")
