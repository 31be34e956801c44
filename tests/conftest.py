"""What holds for every test."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# How long it takes to draw an input says how busy the machine is, and nothing of the code.
settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# A change is judged by the inputs the one before it was judged by; `make properties` looks for new ones.
settings.register_profile("suite", settings.get_profile("search"), derandomize=True)
settings.load_profile("suite")
