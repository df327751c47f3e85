"""B: owner, link, restriction, disclosures."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from brokers.enums import Environment
from risk.facts import CredentialFacts
from risk.types import Outcome, RiskContext
from tests.risk.contexts import (
    NOW,
    context,
    disclosure,
    held,
    limit_request,
    message,
    outcome,
    run,
    sell,
    with_account,
)


def with_user(ctx: RiskContext, **changes: Any) -> RiskContext:
    return replace(ctx, user=replace(ctx.user, **changes))


EXIT = {"order": sell("10"), "position": held("10")}


def test_a_stranger_and_a_closed_user_see_no_account() -> None:
    assert outcome("B01", context()) is Outcome.PASSED
    assert message("B01", with_user(context(), is_owner=False)) == "There is no such account."
    assert outcome("B01", with_user(context(**EXIT), is_active=False)) is Outcome.HARD


@pytest.mark.parametrize(
    ("credential", "words"),
    [
        (CredentialFacts(status="needs_relink", reason="the broker revoked it"), "the broker revoked it"),
        (CredentialFacts(status="needs_relink"), "no longer accepts the link"),
        (CredentialFacts(status="unlinked"), "no longer linked"),
        (CredentialFacts(status="active", can_trade=False), "may read but not trade"),
        (CredentialFacts(status="active", expires_at=NOW), "expired Mon 23 Nov 10:00 ET"),
    ],
)
def test_a_broken_link_refuses_exits_too_because_nothing_can_be_sent(
    credential: CredentialFacts, words: str
) -> None:
    assert words in message("B04", context(credential=credential, **EXIT))


def test_a_link_that_expires_later_is_good() -> None:
    soon = CredentialFacts(status="active", expires_at=NOW + timedelta(microseconds=1))
    assert outcome("B04", context(credential=soon)) is Outcome.PASSED


def test_an_account_that_was_unlinked_is_refused_even_with_a_valid_link() -> None:
    assert outcome("B04", with_account(context(), is_active=False)) is Outcome.HARD


def test_a_restriction_at_the_broker_blocks_openings_and_leaves_exits() -> None:
    restricted = with_account(context(), restriction="closing only")
    assert message("B05", restricted).startswith("Sim Broker restricts this account: closing only.")
    assert outcome("B05", with_account(context(**EXIT), restriction="closing only")) is Outcome.NOT_APPLICABLE


def test_an_account_never_read_counts_as_restricted_for_openings() -> None:
    assert outcome("B05", with_account(context(), synced_at=None)) is Outcome.HARD
    assert outcome("B05", with_account(context(**EXIT), synced_at=None)) is Outcome.NOT_APPLICABLE


def test_a_text_never_accepted_blocks_everything() -> None:
    never = with_user(context(**EXIT), disclosures=(disclosure(accepted_version=None),))
    assert message("B06", never) == (
        "Please read and accept “Risk of trading” version 2; you have accepted none yet."
    )


def test_a_newer_version_asks_again_but_does_not_trap_a_holder() -> None:
    older = (disclosure(accepted_version=1),)
    assert outcome("B06", with_user(context(), disclosures=older)) is Outcome.HARD
    assert outcome("B06", with_user(context(**EXIT), disclosures=older)) is Outcome.PASSED


def test_texts_for_live_and_extended_hours_are_asked_only_there() -> None:
    live = (disclosure(required_for="live", accepted_version=None),)
    extended = (disclosure(required_for="extended", accepted_version=None),)
    assert outcome("B06", with_user(context(), disclosures=live)) is Outcome.PASSED
    on_live = with_account(with_user(context(), disclosures=live), environment=Environment.LIVE)
    assert outcome("B06", on_live) is Outcome.HARD
    assert outcome("B06", with_user(context(), disclosures=extended)) is Outcome.PASSED
    outside = context(order=limit_request(extended_hours=True))
    assert outcome("B06", with_user(outside, disclosures=extended)) is Outcome.HARD


def test_each_missing_text_is_its_own_finding() -> None:
    texts = (disclosure(accepted_version=None), disclosure(kind="b", title="B", accepted_version=1))
    assert [f.value for f in run("B06", with_user(context(), disclosures=texts)).findings] == ["none", "1"]
