"""Takes a picture of every page, light and dark, for a desk and for a phone: `make screenshots`."""

from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import ROOT, Platform
from tests.browser.pages import pages_of, sign_in

pytestmark = [pytest.mark.screenshots, pytest.mark.enable_socket]

DIRECTORY = ROOT / "var" / "screenshots"
SIZES = {"desktop": {"width": 1440, "height": 900}, "phone": {"width": 390, "height": 844}}
SETTLE_MILLISECONDS = 400


def test_every_page_has_its_picture(chromium: Any, platform: Platform) -> None:
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    context = chromium.new_context(viewport=SIZES["desktop"])
    page = context.new_page()
    sign_in(page, platform)
    taken: list[Path] = []
    for found in pages_of(context, platform):
        for size, viewport in SIZES.items():
            page.set_viewport_size(viewport)
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                page.goto(f"{platform.site}{found.path}", wait_until="load")
                # Charts and live parts are drawn after the page has loaded.
                page.wait_for_timeout(SETTLE_MILLISECONDS)
                taken.append(DIRECTORY / f"{found.name.replace(':', '-')}-{scheme}-{size}.png")
                page.screenshot(path=taken[-1], full_page=True)
    context.close()
    print(f"\n{len(taken)} pictures in {DIRECTORY}")
    assert taken
    assert all(path.stat().st_size > 0 for path in taken)
