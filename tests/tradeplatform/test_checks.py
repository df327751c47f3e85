"""Configuration mistakes are named before anything is served."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.services.deploy_check import production_environment
from tradeplatform import checks

ROOT = Path(__file__).resolve().parent.parent.parent


def ids(problems) -> set[str]:
    return {problem.id for problem in problems}


def test_demo_keys_are_refused_outside_demo_mode(settings):
    assert checks.check_secrets(None) == []
    settings.DEMO_MODE = False
    assert ids(checks.check_secrets(None)) == {"tradeplatform.E002", "tradeplatform.E003"}


def test_addresses_must_be_encrypted_outside_demo_mode(settings):
    settings.DEMO_MODE = False
    settings.SITE_URL = "http://trade.example.com"
    settings.ALPACA_TOKEN_URL = "http://api.example.com"

    assert {"tradeplatform.E004", "tradeplatform.E005"} <= ids(checks.check_addresses(None))


def test_an_adapter_that_cannot_be_imported_is_named(settings):
    settings.BROKER_ADAPTERS = {"none": "brokers.adapters.none.Adapter"}

    assert ids(checks.check_adapters(None)) == {"tradeplatform.E006"}


def test_time_and_directory_are_checked(settings, tmp_path):
    settings.TIME_ZONE = "America/New_York"
    settings.VAR_DIR = tmp_path / "missing"

    assert ids(checks.check_clock(None)) == {"tradeplatform.E001"}
    assert ids(checks.check_var_directory(None)) == {"tradeplatform.E007"}


def test_several_processes_need_a_shared_cache(settings):
    settings.EMBEDDED = False
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

    assert ids(checks.check_shared_services(None)) == {"tradeplatform.W008"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "no issues"),
        ({"SECRET_KEY": "short"}, "tradeplatform.E002"),
        ({"FIELD_ENCRYPTION_KEYS": "nonsense"}, "FIELD_ENCRYPTION_KEYS"),
        ({"SITE_URL": "http://trade.example.com"}, "tradeplatform.E004"),
    ],
)
def test_production_starts_only_with_its_own_secrets(tmp_path, changes, said):
    environment = {**production_environment(str(tmp_path)), **changes}
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300
    )

    assert said in done.stdout + done.stderr
    assert (done.returncode == 0) == (not changes)
