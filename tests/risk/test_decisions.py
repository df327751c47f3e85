"""Recorded decisions: complete, replayable, and the only source of tokens."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from risk.engine import ENGINE_VERSION, evaluate
from risk.facts import Purpose
from risk.models import RiskDecisionRecord
from risk.replay import replay_decision
from risk.selectors import decisions_for_account, get_decision
from risk.services.decisions import mint_token, record_decision
from risk.types import RiskContext
from tests.risk.contexts import ACCOUNT_ID, NOW, D, context, limit_request, request
from tradeplatform.common.exceptions import NotFoundError

pytestmark = pytest.mark.django_db
HASH = "a" * 64


def recorded(ctx: RiskContext, **changes: Any) -> RiskDecisionRecord:
    fields: dict[str, Any] = {"order_hash": HASH, "client_order_id": "tp-0001", "purpose": ctx.purpose}
    row = record_decision(context=ctx, decision=evaluate(ctx), **{**fields, **changes})
    return RiskDecisionRecord.objects.get(pk=row.pk)


def test_everything_is_kept() -> None:
    row = recorded(context(order=limit_request("100", quantity=D("25"))))
    assert (row.verdict, row.user_id, row.account_id) == ("require_confirmation", 7, ACCOUNT_ID)
    assert (row.engine_version, row.created_at, row.confirmed) == (ENGINE_VERSION, NOW, [])
    assert [finding["code"] for finding in row.findings] == ["E01"]
    assert len(row.checks) == 30
    position = next(limit for limit in row.limits if limit["name"] == "max_position_size")
    assert position == {
        "name": "max_position_size",
        "value": "0.2",
        "scope": "platform",
        "scope_key": "",
        "version": 0,
    }
    assert RiskContext.from_json(row.context) == context(order=limit_request("100", quantity=D("25")))


@pytest.mark.parametrize("quantity", ["10", "33.333333333", "60", "NaN", "1E+999999"])
def test_a_record_gives_the_same_answer_again(quantity: str) -> None:
    replay = replay_decision(recorded(context(order=request(quantity=D(quantity)))))
    assert replay.matches
    assert replay.differences == ()


def test_a_record_that_was_tampered_with_is_noticed() -> None:
    row = recorded(context(order=request(quantity=D("60"))))
    row.verdict = "allow"
    assert replay_decision(row).differences == ("verdict",)
    row = recorded(context())
    row.context["order"]["request"]["quantity"] = "60"
    assert replay_decision(row).differences == ("verdict", "findings", "checks")
    row = recorded(context())
    row.limits[0]["value"] = "9"
    assert replay_decision(row).differences == ("limits",)


def test_another_engine_version_is_named_when_the_answer_differs() -> None:
    row = recorded(context())
    row.engine_version = "0"
    assert replay_decision(row).matches
    row.verdict = "deny"
    assert replay_decision(row).differences == ("verdict", "engine_version")


def test_an_old_record_without_a_newer_field_can_still_be_read() -> None:
    data = context().to_json()
    del data["instrument"]["overnight_tradable"]
    assert RiskContext.from_json(data) == context()


@pytest.mark.parametrize("change", ["unknown", "missing", "type"])
def test_a_context_that_is_not_one_is_refused(change: str) -> None:
    data = context().to_json()
    if change == "unknown":
        data["mood"] = "good"
    elif change == "missing":
        del data["account"]
    else:
        data["quote_configured"] = "yes"
    with pytest.raises((TypeError, ValueError)):
        RiskContext.from_json(data)


def test_an_allow_becomes_a_token_for_its_own_hash() -> None:
    row = recorded(context())
    token = mint_token(row, now=NOW + timedelta(seconds=5))
    assert (token.decision_id, token.order_hash) == (row.pk, HASH)
    assert token.expires_at == NOW + timedelta(seconds=10)


def test_a_token_never_lives_longer_than_five_seconds() -> None:
    token = mint_token(recorded(context()), now=NOW, ttl_seconds=600)
    assert token.expires_at == NOW + timedelta(seconds=5)


def test_there_is_no_token_for_anything_else() -> None:
    denied = recorded(context(order=request(quantity=D("60"))))
    asked = recorded(context(order=limit_request("100", quantity=D("25"))))
    preview = recorded(replace(context(), purpose=Purpose.PREVIEW), order_hash="", client_order_id="")
    for row in (denied, asked, preview, recorded(context(), order_hash="")):
        with pytest.raises(PermissionError):
            mint_token(row, now=NOW)
    with pytest.raises(PermissionError, match="too old"):
        mint_token(recorded(context()), now=NOW + timedelta(seconds=5, microseconds=1))


def test_decisions_can_be_read() -> None:
    row = recorded(context())
    assert get_decision(row.pk) == row
    assert list(decisions_for_account(ACCOUNT_ID)) == [row]
    with pytest.raises(NotFoundError):
        get_decision(ACCOUNT_ID)
