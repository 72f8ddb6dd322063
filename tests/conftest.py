import os
from pathlib import Path

import pytest

SHARED_VARIABLE = "RS_MONITOR_SHARED_DATA"
REQUIRE_VARIABLE = "RS_MONITOR_REQUIRE_SHARED"
NO_SKIPS_VARIABLE = "RS_MONITOR_NO_SKIPS"


def shared_folder() -> Path | None:
    """The reference data folder: by variable, else beside the checkout."""
    named = os.environ.get(SHARED_VARIABLE)
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "data"
    return folder if (folder / "MANIFEST.sha256").is_file() else None


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = shared_folder()
    if folder is None:
        reason = f"reference data absent: set {SHARED_VARIABLE} to its folder"
        if os.environ.get(REQUIRE_VARIABLE) == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where nothing may be skipped, a skipped test is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get(NO_SKIPS_VARIABLE) != "1" or reporter is None:
        return
    if reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
