"""Secrets never reach a log line, whatever way they come."""

import io
import json
import logging
import logging.config

import pytest
import structlog

from tradeplatform.common.logging import build_logging, scrub_text, scrub_value

CANARIES = [
    "tp_0123abcd_" + "Zx" * 20,
    "tpenc1.0a1b2c3d.AAAA.BBBB",
    "gAAAAABm" + "x" * 40,
    "PKABCDEFGHIJKLMNOPQR",
    "AK12345678901234567890",
    "sk_live_51HabcDEF0123456789",
    "rk_test_51HabcDEF0123456789",
    "whsec_0123456789abcdefABCDEF",
]


@pytest.mark.parametrize("secret", CANARIES)
def test_known_shapes_are_hidden_anywhere_in_a_text(secret):
    assert secret not in scrub_text(f"request with {secret} failed")


@pytest.mark.parametrize(
    "text",
    [
        "GET /callback?code=canary77&state=canary77",
        "Authorization: Bearer canary77.abc-def",
        "{'client_secret': 'canary77'}",
        '{"access_token": "canary77", "refresh_token":"canary77"}',
        "APCA-API-SECRET-KEY: canary77",
        "password=canary77&next=/",
    ],
)
def test_values_of_secret_names_are_hidden(text):
    assert "canary77" not in scrub_text(text)


def test_nested_values_are_scrubbed_and_plain_ones_kept():
    value = {"order": {"id": 7, "note": "buy"}, "headers": [{"authorization": "Bearer abcdefgh"}]}

    assert scrub_value(value) == {
        "order": {"id": 7, "note": "buy"},
        "headers": [{"authorization": "[hidden]"}],
    }


def test_ordinary_words_survive():
    text = "order denied code=insufficient_funds state=open symbol=AAPL quantity=10"

    assert scrub_text(text) == text


@pytest.fixture
def lines():
    """Log through the real configuration into memory, as JSON."""
    config = build_logging(as_json=True, level="INFO")
    formatter = config["formatters"]["structured"]["()"](
        processors=config["formatters"]["structured"]["processors"],
        foreign_pre_chain=config["formatters"]["structured"]["foreign_pre_chain"],
    )
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logger = logging.getLogger("canary")
    logger.addHandler(handler)
    logger.setLevel("INFO")
    logger.disabled = False
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logger.removeHandler(handler)


def test_exceptions_and_arguments_of_any_library_are_scrubbed(lines):
    logger = logging.getLogger("canary")
    try:
        raise RuntimeError("token=canary77 Bearer canary77xyz")
    except RuntimeError:
        logger.exception("failed with %s", "api_key=canary77")
    structlog.get_logger("canary").info("linked", secret="canary77", url="/x?code=canary77", account="A1")

    text = json.dumps(lines())
    assert "canary77" not in text
    assert lines()[1]["account"] == "A1"
    assert lines()[0]["level"] == "error"
