"""From Free to live trading and back in a browser: refused, paid, armed, traded, canceled, reduced."""

import re
import time
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from brokers.simulators.demo import LIVE_KEY
from tests.browser.conftest import Platform, wait_until
from tests.security.world import code_now

pytestmark = [pytest.mark.services, pytest.mark.enable_socket]

EMAIL, PASSWORD = "from-free@example.com", "a-long-pass-77x"
SYMBOL = "KO"
WAIT_MILLISECONDS = 15_000
READ_SUBSCRIPTION = (
    "from billing.models import Subscription as S; "
    "print(S.objects.filter(customer__user__email='%s', ended_at=None).latest('created_at').stripe_id)"
)


@pytest.fixture
def page(chromium: Any, platform: Platform) -> Any:
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(WAIT_MILLISECONDS)
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if is_refusal(message) else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    context.close()
    assert problems == []


def is_refusal(message: Any) -> bool:
    """What the browser's policy stopped. Refusals by the plan answer 403, which the console tells too."""
    return message.type == "error" and "Content Security Policy" in message.text


def test_from_free_to_live_trading_and_back_to_reduce_only(page: Page, platform: Platform) -> None:
    platform.control("market/freeze", frozen=True)
    quote(platform, "24.98", "25.00")
    platform.command("create_user", EMAIL, "--password", PASSWORD)
    key_id, secret = LIVE_KEY
    account = platform.command(
        "link_account", EMAIL, "alpaca", "live", "--key-id", key_id, "--secret", secret, "--label", "Live"
    )
    sign_in(page, platform)
    accept_disclosures(page, platform)
    factor = set_up_second_factor(page, platform)

    be_refused(page, platform, factor)
    choose_pro(page)
    seconds = pay(page, platform)
    print(f"\nback from Checkout with live trading enabled after {seconds:.2f} s")
    arm(page, platform, account)
    order = buy_live(page, platform)
    print(f"live order {order} filled at the simulator's live host")

    subscription = platform.command("shell", "-v", "0", "-c", READ_SUBSCRIPTION % EMAIL)
    cancel_subscription(page, platform)
    platform.control("stripe/clock", to_period_end_of=subscription)
    platform.control("stripe/clock", advance=3600)
    wait_until(lambda: "Ended" in status_of(page, platform), "the end of the paid period", 15)
    expect(page.locator("main")).to_contain_text("Your live accounts can only be reduced")
    be_refused(page, platform, factor)
    sell_live(page, platform)


def sign_in(page: Page, platform: Platform) -> None:
    page.goto(f"{platform.site}/accounts/login/")
    page.fill("input[name=login]", EMAIL)
    page.fill("input[name=password]", PASSWORD)
    page.locator("main form button[type=submit]").first.click()
    page.wait_for_url("**/dashboard/")


def accept_disclosures(page: Page, platform: Platform) -> None:
    page.goto(f"{platform.site}/settings/disclosures/")
    accept = page.get_by_role("button", name="I have read this and accept it")
    while accept.count():
        accept.first.click()
        page.wait_for_load_state()


class Factor:
    """An authenticator app: a code works once, so the next one is waited for."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.used = ""

    def code(self) -> str:
        self.used = wait_until(
            lambda: code if (code := code_now(self.secret)) != self.used else "", "the next code", 35
        )
        return self.used


def set_up_second_factor(page: Page, platform: Platform) -> Factor:
    """Set up an authenticator app."""
    page.goto(f"{platform.site}/accounts/2fa/totp/activate/")
    if "reauthenticate" in page.url:
        page.fill("input[name=password]", PASSWORD)
        page.locator("main form button[type=submit]").first.click()
    found = re.search(r"\b[A-Z2-7]{32}\b", page.inner_text("main"))
    assert found, page.inner_text("main")
    factor = Factor(found.group(0))
    page.fill("input[name=code]", factor.code())
    page.locator("main form button[type=submit]").first.click()
    page.wait_for_load_state()
    return factor


def quote(platform: Platform, bid: str, ask: str) -> None:
    platform.control(
        "market/quote", symbol=SYMBOL, bid=bid, ask=ask, last=ask, bid_size="5000", ask_size="5000"
    )


def review(page: Page, platform: Platform, side: str, price: str) -> None:
    page.goto(f"{platform.site}/trade/?symbol={SYMBOL}")
    page.locator(f"label:has(input[name=side][value={side}])").click()
    page.select_option("select[name=order_type]", "limit")
    page.fill("input[name=size]", "1")
    page.fill("input[name=limit_price]", price)
    page.get_by_role("button", name=f"Review {side} order").click()
    page.wait_for_url("**/trade/review/**")
    for box in page.locator("main input[name=confirm]").all():
        box.check()
    page.get_by_role("button", name="Place LIVE order").click()
    page.wait_for_load_state()


def be_refused(page: Page, platform: Platform, factor: Factor) -> None:
    """An order that opens a position is refused on a page that says why and leads to the plans."""
    review(page, platform, "buy", "25.00")
    if "/2fa/" in page.url:
        # The first live order of a session asks who is there.
        page.fill("input[name=code]", factor.code())
        page.locator("main form button[type=submit]").first.click()
    expect(page.locator("main")).to_contain_text("does not include live trading")
    expect(page.locator("main")).to_contain_text("Nothing was sent")
    page.locator("main").get_by_role("link", name="See plans").first.click()
    page.wait_for_url("**/billing/")


def choose_pro(page: Page) -> None:
    page.get_by_role("button", name="Choose Pro").click()
    page.wait_for_url("**/stripe/checkout/**")


def pay(page: Page, platform: Platform) -> float:
    """Pay at Checkout; return how long the page we come back to took to say that the plan has started."""
    page.fill("input[name=number]", "4242424242424242")
    page.fill("input[name=expiry]", "12/30")
    page.fill("input[name=cvc]", "123")
    page.fill("input[name=name]", "From Free")
    if page.locator("input[name=postal_code]").count():
        page.fill("input[name=postal_code]", "10001")
    page.locator("form button").last.click()
    page.wait_for_url(f"{platform.site}/billing/done/**")
    started = time.monotonic()
    expect(page.locator("main")).to_contain_text("Live trading is enabled", timeout=WAIT_MILLISECONDS)
    return time.monotonic() - started


def arm(page: Page, platform: Platform, account: str) -> None:
    """Arm the account; the second factor was given a moment ago."""
    page.goto(f"{platform.site}/brokers/accounts/{account}/arm/")
    page.locator("input[name=understood]").check()
    page.get_by_role("button", name="Arm this account").click()
    wait_until(lambda: "is armed" in page.inner_text("body"), "the armed account", 15)


def buy_live(page: Page, platform: Platform) -> str:
    """Buy one share: the first live orders wait for their owner."""
    review(page, platform, "buy", "25.00")
    page.wait_for_url(re.compile(r"/orders/[0-9a-f-]{36}/"))
    page.get_by_role("button", name=re.compile("Approve")).first.click()
    expect(page.locator("main")).to_contain_text("1 of 1", timeout=WAIT_MILLISECONDS)
    return page.url.rstrip("/").rsplit("/", 1)[-1]


def cancel_subscription(page: Page, platform: Platform) -> None:
    page.goto(f"{platform.site}/billing/")
    page.get_by_role("button", name="Manage at Stripe").click()
    page.wait_for_url("**/stripe/**")
    page.get_by_role("button", name="Cancel plan").first.click()
    confirm = page.get_by_role("button", name=re.compile("Cancel plan|Confirm"))
    if confirm.count():
        confirm.first.click()
    wait_until(lambda: "Canceled" in status_of(page, platform), "the cancellation", 15)
    expect(page.locator("main")).to_contain_text("Ends")


def status_of(page: Page, platform: Platform) -> str:
    page.goto(f"{platform.site}/billing/")
    return page.inner_text("#billing-status")


def sell_live(page: Page, platform: Platform) -> None:
    """What is held can be sold without any plan."""
    review(page, platform, "sell", "24.98")
    page.wait_for_url(re.compile(r"/orders/[0-9a-f-]{36}/"))
    expect(page.locator("main")).to_contain_text("1 of 1", timeout=WAIT_MILLISECONDS)
