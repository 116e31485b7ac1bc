"""The report in a real Chromium: texts, ids, labels and names that try to run a script, and missing files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests import browser
from tests.insight.conftest import make_row
from tests.insight.pages import EVIL, count, fill, keys, made_up, opened, press, write


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report in which all that comes from outside tries to run a script."""
    rows = [
        make_row(
            "x",
            [0.1, 0.2, -0.3],
            id=f"{EVIL}{i}",
            tokens=["[CLS]", EVIL, "film"],
            word_ids=[-1, 0, 1],
            input_ids=[0, 1, 2],
        )
        for i in range(30)
    ]
    names = [EVIL, EVIL + "2"]
    return write(
        tmp_path_factory.mktemp("evil"),
        rows,
        data={"name": EVIL, "class_names": names},
        config={"model": EVIL, EVIL: EVIL},
    )


def test_nothing_from_outside_becomes_markup_or_script(driver, hostile):
    browser.open_report(driver, hostile, "#?word=" + "%3Cimg%20src%3Dx%20onerror%3D%22document.title%3D%27hit%27%22%3E")
    fill(driver, word=EVIL)
    assert count(driver) == 30
    press(driver, "j", keys().ENTER)
    opened(driver)
    browser.draw_charts(driver)
    assert driver.title != "hit"
    assert driver.find_elements("css selector", "img") == []
    outside = "document.querySelectorAll('script:not([nonce]):not([type=\"application/json\"])').length"
    assert driver.execute_script(f"return {outside}") == 0
    shown = driver.find_element("css selector", "#results .heat b:nth-of-type(2)")
    assert shown.get_attribute("textContent") == EVIL
    assert driver.find_element("css selector", "#results .id").get_attribute("textContent").startswith(EVIL)
    assert EVIL in driver.find_element("css selector", "#results .badge").get_attribute("textContent")
    assert driver.execute_script("return document.querySelector('[name=prediction]').options[1].textContent") == EVIL
    assert driver.get_log("browser") == []


def test_the_policy_stops_what_would_be_injected(driver, hostile):
    browser.open_report(driver, hostile)
    tried = driver.execute_async_script(
        """
        const done = arguments[0];
        let refused = 0;
        for (const act of [
          () => { document.body.innerHTML += '<b>x</b>'; },
          () => {
            const script = document.createElement('script');
            script.append("document.title = 'hit'");
            document.body.append(script);
            if (document.title !== 'hit') throw new Error('it did not run');
          },
          () => { document.createElement('script').src = 'data/evil.js'; },
          () => eval('1'),
        ]) { try { act(); } catch { refused++; } }
        const image = new Image();
        image.onerror = () => done([refused, document.title]);
        image.onload = () => done(['loaded']);
        image.src = 'data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA=';
        """
    )
    assert tried[0] >= 3
    assert tried[1] != "hit"
    driver.get_log("browser")


def test_missing_data_are_told(driver, tmp_path):
    index = write(tmp_path / "run", made_up())
    shutil.rmtree(index.parent / "data")
    driver.get(index.as_uri())
    browser.until(driver, "document.getElementById('status').textContent.includes('cannot be read')")
    driver.get_log("browser")
