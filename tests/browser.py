"""A real Chromium for the report: Debian's `chromium` and `chromium-driver`, without network of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # which root needs
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--force-prefers-reduced-motion",  # or an element is still on its way when it is clicked
)
_PATIENCE_S = 20.0


def missing() -> str:
    """Why no browser can be started; empty where one can."""
    for name in ("chromium", "chromedriver"):
        if shutil.which(name) is None:
            return f"no {name} on this machine; on Debian: apt-get install chromium chromium-driver"
    return ""


@contextmanager
def browser(profile: Path, width: int = 1280, height: int = 1000) -> Iterator[Any]:
    """A started Chromium with an empty profile in the folder `profile`, closed at the end."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in (*_FLAGS, f"--window-size={width},{height}", f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def until(driver: Any, condition: str | Callable[[Any], Any]) -> Any:
    """The first true value of a JavaScript expression, or of a function of the driver.

    Raises:
        TimeoutException: there was none.
    """
    from selenium.webdriver.support.ui import WebDriverWait

    test = condition if callable(condition) else lambda driver: driver.execute_script(f"return {condition}")
    return WebDriverWait(driver, _PATIENCE_S, poll_frequency=0.02).until(test, str(condition))


def open_report(driver: Any, index: Path | str, hash: str = "") -> None:
    """Open a report from disk and wait until its reviews are there."""
    driver.get("about:blank")  # or another hash alone would load nothing
    driver.get(Path(index).resolve().as_uri() + hash)
    until(driver, "document.documentElement.dataset.reviews === 'ready'")


def draw_charts(driver: Any) -> None:
    """Scroll to every chart, as they are drawn when they come near the window, and wait until they are."""
    for place in driver.find_elements("css selector", "[data-chart]"):
        driver.execute_script("arguments[0].scrollIntoView()", place)
        until(driver, lambda driver, place=place: driver.execute_script("return arguments[0].firstChild", place))


def scheme(driver: Any, name: str) -> None:
    """Show pages as somebody who prefers the ``light`` or the ``dark`` colour scheme sees them."""
    features = [{"name": "prefers-color-scheme", "value": name}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
