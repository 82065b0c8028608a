"""What the property tests share."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# pytest-timeout is the judge of time; a busy machine is no reason to fail.
settings.register_profile(
    "protocol", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("protocol")
