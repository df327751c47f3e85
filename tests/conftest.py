"""What every test gets, and the order in which tests run."""

import fcntl
import os
import uuid
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from django.test import TransactionTestCase

from tests.emptying import empty_tables

FIGURES = "figures"


def pytest_configure() -> None:
    # How fast an example is made or run decides nothing: the machine may be busy.
    hypothesis.settings.register_profile(
        "tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("tests")
    TransactionTestCase._fixture_teardown = empty_tables


@pytest.fixture(autouse=True)
def own_cache(settings):
    """Give each test keys of its own in the cache, so that rate limits do not leak between tests."""
    default = {**settings.CACHES["default"], "KEY_PREFIX": uuid.uuid4().hex}
    settings.CACHES = {**settings.CACHES, "default": default}


@pytest.fixture
def show(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Return a function that puts what was measured above the last line of the run."""
    return lambda text: record_property(FIGURES, text)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what tests have measured."""
    reports = [report for some in terminalreporter.stats.values() for report in some]
    texts = [
        text
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, text in report.user_properties
        if name == FIGURES
    ]
    if texts:
        terminalreporter.section("measured")
        terminalreporter.write_line("\n".join(texts))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the tests that want the machine for themselves for the end, and needless repeats out."""
    items.sort(key=_wants_to_be_alone)
    if "TEST_SERVICES" in os.environ:
        repeats = [item for item in items if not _can_tell_services(item)]
        config.hook.pytest_deselected(items=repeats)
        items[:] = [item for item in items if _can_tell_services(item)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Run a test marked `alone` while no other worker is at one, and the others side by side."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return (yield)
    with Path(__file__).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if _wants_to_be_alone(item) else fcntl.LOCK_SH)
        return (yield)


def _can_tell_services(item: pytest.Item) -> bool:
    """Say whether a test may end otherwise on PostgreSQL and Redis than it did in `make test`."""
    markers = {marker.name for marker in item.iter_markers()}
    fixtures = set(getattr(item, "fixturenames", ()))
    return bool(markers & {"django_db", "services", "cache"} or fixtures & {"db", "transactional_db"})


def _wants_to_be_alone(item: pytest.Item) -> bool:
    return item.get_closest_marker("alone") is not None
