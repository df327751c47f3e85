"""The page of checks says what the code does."""

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from risk.documentation import render_risk_docs
from risk.limit_catalogue import CATALOGUE
from risk.rules import ALL_RULES


def test_the_page_names_every_check_and_limit() -> None:
    page = render_risk_docs()
    assert all(f"| {rule.code} `{rule.name}` |" in page for rule in ALL_RULES)
    assert all(f"| `{spec.name}` | {spec.title} |" in page for spec in CATALOGUE)


def test_every_limit_a_rule_names_exists() -> None:
    known = {spec.name for spec in CATALOGUE}
    assert {name for rule in ALL_RULES for name in rule.limits} <= known


def test_the_page_in_the_repository_is_up_to_date() -> None:
    call_command("write_risk_docs", "--check", stdout=StringIO())


def test_the_command_writes_and_then_agrees(tmp_path: Path) -> None:
    path = str(tmp_path / "page.md")
    with pytest.raises(CommandError, match="out of date"):
        call_command("write_risk_docs", "--check", "--path", path)
    call_command("write_risk_docs", "--path", path, stdout=StringIO())
    call_command("write_risk_docs", "--check", "--path", path, stdout=StringIO())
    assert (tmp_path / "page.md").read_text() == render_risk_docs()
