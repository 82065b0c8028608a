"""Transport, driver, pool and client, proved against servers of every kind."""

import pytest

pytest.register_assert_rewrite("tests.client.checks", "tests.raw", "tests.taps")
