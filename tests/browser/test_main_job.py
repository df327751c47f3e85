"""The main job in a browser: sign up, link a broker, place an order, watch it fill, see the book."""

import re
import time
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Platform, wait_until

pytestmark = [pytest.mark.services, pytest.mark.enable_socket]

PASSWORD = "a-long-pass-77x"
FILL_SECONDS = 15_000


@pytest.fixture
def page(chromium: Any, platform: Platform) -> Any:
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(15_000)
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if is_our_error(message) else None)
    page.on(
        "response",
        lambda answer: problems.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None,
    )
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    context.close()
    assert problems == []


def test_from_sign_up_to_a_book_that_is_right_to_the_cent(page: Page, platform: Platform) -> None:
    platform.control("market/freeze", frozen=True)
    quote(platform, bid="249.98", ask="250.00", last="250.00")
    sign_up(page, platform, "from-csv@example.com")
    accept_disclosures(page)
    link_by_consent_page(page)

    place_market_order(page, platform, "AAPL", "10")
    seconds = wait_for_fill(page, "10 of 10")
    print(f"\nmarket order placed, filled and on screen without a reload after {seconds:.2f} s")
    assert "$250.00" in page.inner_text("main")

    quote(platform, bid="251.22", ask="251.24", last="251.23")
    wait_until(lambda: "+$12.30" in open_portfolio(page, platform), "the profit at the new price", 15)
    row = page.locator("tr", has_text="AAPL")
    expect(row).to_contain_text("$250.00")
    expect(row).to_contain_text("$2,512.30")
    expect(page.locator("main")).to_contain_text("$97,500.00")
    expect(page.locator("main")).to_contain_text("$100,012.30")

    order_page = place_limit_order(page, platform, "AAPL", "8", "240.00")
    expect(page.locator("main")).to_contain_text("Accepted")
    change_limit(page, "241.50")
    expect(page.locator("main")).to_contain_text("241.50", timeout=FILL_SECONDS)
    cancel(page, order_page)
    expect(page.locator("main h1 ~ *, main").first).to_contain_text("Canceled", timeout=FILL_SECONDS)

    platform.control("market/liquidity", replenish=False)
    quote(platform, bid="251.23", ask="251.25", last="251.25", ask_size="3")
    place_limit_order(page, platform, "AAPL", "7", "251.25")
    expect(page.locator("main")).to_contain_text("Partially filled", timeout=FILL_SECONDS)
    expect(page.locator("main")).to_contain_text("3 of 7")


def is_our_error(message: Any) -> bool:
    """Two things are not ours: the consent page, which is the simulated broker's and has no icon, and
    htmx noting that a request ended because the page was left.
    """
    is_abort = message.text.startswith(("htmx:sendAbort", "htmx:afterRequest"))
    return message.type == "error" and not is_abort and not message.location["url"].endswith("favicon.ico")


def sign_up(page: Page, platform: Platform, email: str) -> None:
    page.goto(f"{platform.site}/accounts/signup/")
    page.fill("input[name=email]", email)
    page.fill("input[name=password1]", PASSWORD)
    page.fill("input[name=password2]", PASSWORD)
    page.locator("main form button[type=submit]").last.click()
    page.wait_for_url("**/confirm-email/")
    code = wait_until(
        lambda: re.search(r"\b[A-Z0-9]{4}-[A-Z0-9]{4}\b", platform.page("/demo/mail/")),
        "the code by mail",
        15,
    )
    page.fill("input[name=code]", code.group(0))
    page.locator("main form button[type=submit]").first.click()
    page.wait_for_url("**/dashboard/")


def accept_disclosures(page: Page) -> None:
    page.get_by_role("link", name="Get started").click()
    page.wait_for_url("**/onboarding/")
    for box in page.locator("main input[type=checkbox]").all():
        box.check()
    page.get_by_role("button", name="Accept and continue").click()


def link_by_consent_page(page: Page) -> None:
    """Link a fresh paper account through the simulated broker's own consent page."""
    page.get_by_role("link", name="Link Alpaca").first.click()
    page.fill("input[name=password]", PASSWORD)
    page.locator("main form button[type=submit]").first.click()
    page.locator("label:has-text('Paper')").first.click()
    page.get_by_role("button", name="Continue to the broker").click()
    expect(page.locator("body")).to_contain_text("This is not Alpaca")
    page.locator("input[name=customer]").last.check()
    page.fill("input[name=name]", "From CSV")
    page.fill("input[name=email]", "from-csv@example.com")
    page.get_by_role("button", name="Allow").click()
    page.wait_for_url("**/onboarding/")


def fill_ticket(page: Page, platform: Platform, symbol: str, quantity: str) -> None:
    page.goto(f"{platform.site}/trade/?symbol={symbol}")
    page.fill("input[name=size]", quantity)


def send_ticket(page: Page) -> str:
    page.get_by_role("button", name="Review buy order").click()
    page.get_by_role("button", name="Place paper order").click()
    page.wait_for_url(re.compile(r"/orders/[0-9a-f-]{36}/"))
    return page.url


def place_market_order(page: Page, platform: Platform, symbol: str, quantity: str) -> str:
    fill_ticket(page, platform, symbol, quantity)
    return send_ticket(page)


def place_limit_order(page: Page, platform: Platform, symbol: str, quantity: str, price: str) -> str:
    fill_ticket(page, platform, symbol, quantity)
    page.select_option("select[name=order_type]", "limit")
    page.fill("input[name=limit_price]", price)
    return send_ticket(page)


def wait_for_fill(page: Page, shares: str) -> float:
    """Wait until the open order page shows the fill by itself; return the seconds since it was shown."""
    started = time.monotonic()
    expect(page.locator("main")).to_contain_text(shares, timeout=FILL_SECONDS)
    expect(page.locator("main .badge").filter(has_text=re.compile("^Filled$")).first).to_be_visible()
    return time.monotonic() - started


def change_limit(page: Page, price: str) -> None:
    page.get_by_role("link", name=re.compile("Change")).first.click()
    page.fill("input[name=limit_price]", price)
    page.locator("main form button[type=submit]").last.click()


def cancel(page: Page, order_page: str) -> None:
    page.goto(order_page)
    page.get_by_role("button", name=re.compile("Cancel")).first.click()
    dialog = page.locator("dialog[open] button", has_text=re.compile("Cancel|Yes"))
    if dialog.count():
        dialog.last.click()


def quote(platform: Platform, **values: str) -> None:
    """Pin the quote of the one symbol that this test trades."""
    platform.control("market/quote", symbol="AAPL", **({"bid_size": "5000", "ask_size": "5000"} | values))


def open_portfolio(page: Page, platform: Platform) -> str:
    page.goto(f"{platform.site}/portfolio/")
    return page.inner_text("main")
