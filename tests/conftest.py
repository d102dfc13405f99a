"""What all tests share: how hypothesis searches. (Warnings are errors: pyproject.toml says so.)

Two profiles. `ci`, the default, draws the same examples in every run, so a red run can be repeated. `explore` draws
new ones: HYPOTHESIS_PROFILE=explore make pytest FILES=tests/core (not where the variable CI is set). Neither has a
deadline: how long an example takes says how busy the machine is.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "ci",
    derandomize=True,
    deadline=None,
    max_examples=50,
    print_blob=True,
    # Fixtures here are read-only, and a slow start is the first import of a module, not a slow strategy.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile("explore", settings.get_profile("ci"), derandomize=False, max_examples=1000)
settings.load_profile("ci" if os.environ.get("CI") else os.environ.get("HYPOTHESIS_PROFILE", "ci"))
