"""Every page, as a person with data sees it: wide and narrow, light and dark."""

import time
from typing import Any

import pytest

from tests.browser.conftest import Platform
from tests.browser.pages import pages_of, sign_in
from tests.browser.test_main_job import is_our_error

pytestmark = [pytest.mark.services, pytest.mark.enable_socket]

SIZES = ({"width": 1440, "height": 900}, {"width": 390, "height": 844})
FEWEST_PAGES = 30
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def test_every_page_opens_without_errors_and_fits_wide_and_narrow_light_and_dark(
    chromium: Any, platform: Platform
) -> None:
    context = chromium.new_context(viewport=SIZES[0])
    page = context.new_page()
    page.set_default_timeout(15_000)
    sign_in(page, platform)
    problems: list[str] = []
    shown = ""
    page.on(
        "console",
        lambda message: problems.append(f"{shown}: {message.text}") if is_our_error(message) else None,
    )
    page.on("pageerror", lambda error: problems.append(f"{shown}: {error}"))
    pages = pages_of(context, platform)
    started = time.monotonic()
    for found in pages:
        shown = found.name
        answer = page.goto(f"{platform.site}{found.path}", wait_until="load")
        if answer.status != 200:
            problems.append(f"{shown}: status {answer.status}")
        if not page.title().strip():
            problems.append(f"{shown}: no title")
        for size in SIZES:
            page.set_viewport_size(size)
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                too_wide = page.evaluate(OVERFLOW)
                if too_wide > 0:
                    problems.append(f"{shown}: {too_wide} px too wide at {size['width']} px, {scheme}")
    context.close()
    print(f"\n{len(pages)} pages in {time.monotonic() - started:.1f} s")
    assert problems == [], "\n".join(problems)
    assert len(pages) >= FEWEST_PAGES
