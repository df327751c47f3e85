"""The SDK is heavy: a web process that never calls Alpaca must not pay for it."""

import subprocess
import sys

SCRIPT = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
import django
django.setup()
import brokers.adapters.alpaca.adapter as adapter
assert not {"pandas", "alpaca"} & set(sys.modules), "loaded with the adapter"
from brokers.enums import Environment, LinkKind
from brokers.types import Credentials
adapter.AlpacaAdapter.capabilities(Environment.PAPER)
adapter.AlpacaAdapter.oauth_flow()
assert "pandas" not in sys.modules, "loaded by the capabilities"
keys = Credentials(LinkKind.API_KEY, {"key_id": "k", "secret_key": "s"})
adapter.trading_client("http://127.0.0.1:1", keys)
assert "alpaca.trading.client" in sys.modules
"""


def test_the_sdk_is_loaded_with_the_first_client():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=300)

    assert done.returncode == 0, done.stderr
