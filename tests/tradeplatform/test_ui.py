"""The components render what they promise, and no template breaks the content security policy."""

import re
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest
from django import forms
from django.template import Context, Template
from django.test import RequestFactory

from orders.enums import OrderStatus
from tradeplatform.templatetags.icons import ICONS
from tradeplatform.templatetags.ui import ORDER_STATUSES, _is_section

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
LOAD = "{% load ui icons formats %}"


class TicketForm(forms.Form):
    symbol = forms.CharField(help_text="A ticker")
    side = forms.ChoiceField(choices=[("buy", "Buy"), ("sell", "Sell")], initial="sell")


def render(source: str, **context: object) -> str:
    return Template(LOAD + source).render(Context(context))


def test_every_order_status_has_a_badge_in_the_words_of_the_model() -> None:
    words = {status.name: status.label for status in OrderStatus}
    assert {name: entry[0] for name, entry in ORDER_STATUSES.items()} == words
    for status in OrderStatus:
        html = render("{% order_status status %}", status=status.value)
        assert status.label in html
        assert "<svg" in html, "colour is never alone"


def test_live_and_paper_are_told_apart_in_words() -> None:
    assert "LIVE" in render('{% environment_badge "live" %}')
    assert "PAPER" in render('{% environment_badge "paper" %}')


def test_a_field_ties_label_help_and_error_to_its_control() -> None:
    html = render("{% field form.symbol %}", form=TicketForm({"symbol": ""}))
    assert '<label class="field__label" for="id_symbol">' in html
    assert 'aria-describedby="id_symbol_help id_symbol_error"' in html
    assert 'aria-invalid="true"' in html
    assert 'id="id_symbol_error"' in html


def test_a_segmented_control_marks_the_chosen_option() -> None:
    html = render("{% segmented form.side %}", form=TicketForm())
    assert re.search(r'value="sell" id="id_side_1" checked', html)
    assert 'value="buy" id="id_side_0" checked' not in html


@pytest.mark.parametrize(
    ("used", "limit", "tone", "percent"),
    [
        ("1", "10", "", 10),
        ("7.5", "10", "headroom--warn", 75),
        ("10", "10", "headroom--bad", 100),
        ("1", "0", "headroom--bad", 100),
    ],
)
def test_headroom_warns_before_the_limit_and_at_it(used: str, limit: str, tone: str, percent: int) -> None:
    html = render('{% headroom "Loss" used limit text="x" %}', used=Decimal(used), limit=Decimal(limit))
    assert f'value="{percent}"' in html
    assert tone in html


def test_content_of_block_components_is_escaped_once() -> None:
    html = render("{% card title=name %}{{ name }}{% endcard %}", name="<b>A&B</b>")
    assert html.count("&lt;b&gt;A&amp;B&lt;/b&gt;") == 2
    assert "<b>" not in html


def test_chart_data_cannot_leave_its_script_element() -> None:
    data = {"series": [{"name": "</script><script>alert(1)</script>", "points": []}]}
    html = render('{% chart "c" "Equity" data=data %}', data=data)
    assert "</script><script>alert" not in html


def test_a_navigation_entry_without_a_route_is_left_out() -> None:
    request = RequestFactory().get("/")
    assert "<a" not in render('{% nav_link "no_such_route" "Nowhere" %}', request=request)


@pytest.mark.parametrize(
    ("route", "current", "lit"),
    [
        ("orders:list", "orders:list", True),
        ("orders:list", "orders:detail", True),
        ("orders:list", "orders:ticket", False),
        ("orders:ticket", "orders:ticket", True),
        ("portfolios:overview", "portfolios:import", False),
        ("dashboard", "landing", False),
    ],
)
def test_navigation_lights_up_its_own_section(route: str, current: str, lit: bool) -> None:
    assert _is_section(route, current) is lit


def test_the_account_switcher_always_says_paper_or_live() -> None:
    source = '{% include "components/account_switcher.html" %}'
    account = SimpleNamespace(id=1, label="Main", broker="alpaca", environment="live")
    assert "LIVE" in render(source, current_account=account, switchable_accounts=[account])
    assert "PAPER" in render(source)


class _PolicyChecker(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "style":
            self.faults.append("style element")
        if tag == "script" and "src" not in found and found.get("type") != "application/json":
            self.faults.append("inline script")
        for name in found:
            if name == "style" or (name.startswith("on") and len(name) > 2) or name.startswith("hx-on"):
                self.faults.append(f"{name} attribute on {tag}")


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_template_needs_an_exception_from_the_content_security_policy(path: Path) -> None:
    checker = _PolicyChecker()
    checker.feed(re.sub(r"{%.*?%}|{#.*?#}", "", path.read_text(), flags=re.S))
    assert checker.faults == []


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_templates_ask_only_for_icons_that_exist(path: Path) -> None:
    text = path.read_text()
    asked = re.findall(r'{% icon "([^"]+)"', text) + re.findall(r'\sicon="([^"]+)"', text)
    assert set(asked) <= set(ICONS)
