"""Made-up reports, and what a user does with one in a browser."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from ig_worker import schema
from ig_worker.insight.compare import rows as compare
from ig_worker.insight.report.write import write_report
from ig_worker.run.store.run_store import RunStore
from tests import browser
from tests.insight.conftest import make_quarantine, make_row, make_table

EVIL = "</script><script>document.title='hit'</script><!--<img src=x onerror=\"document.title='hit'\">\u2028'\"`&amp;"
ROWS = 90


def made_up() -> list[dict]:
    """Rows whose numbers follow from their place: every third is wrong, every tenth has no label."""
    rows = []
    for i in range(ROWS):
        tokens = f"[CLS] film number w{i} un ##do {'good' if i % 2 else 'bad'} café [SEP]"
        sure = 0.5 + i / (2 * ROWS)
        prediction = i % 2
        label = None if i % 10 == 9 else 1 - prediction if i % 3 == 0 else prediction
        probabilities = [sure, 1 - sure] if prediction == 0 else [1 - sure, sure]
        values = [0.0, 0.01, -0.02, 0.001 * i, 0.1, 0.05, 0.2, -0.1, 0.0]
        rows.append(
            make_row(
                tokens, values, id=f"row-{i:02d}", label=label, prediction=prediction, target=prediction,
                probabilities=probabilities, delta=i / 1000, error_estimate=0.001 * (i + 1),
            )
        )  # fmt: skip
    return rows


def write(place: Path, rows: list[dict], **manifest: object) -> Path:
    store = RunStore(str(place))
    store.manifest.write({"fingerprint": "f00d", **manifest})
    store.results.commit(0, make_table(rows), make_quarantine(0), "f00d")
    ids = [row["id"] for row in rows]
    records = [
        {"id": id, "prediction_before": 0, "prediction": 0, "flipped": i < 4, "aligned": "none"}
        for i, id in enumerate(ids)
    ]
    words = [{"word": "good", "documents": 45, "mean_before": 0.1, "mean": 0.2, "drift": 0.1, "q": 0.0001}]
    for name, table in {
        "compare": pa.Table.from_pylist(records, schema=compare.ROWS),
        "compare_words": pa.Table.from_pylist(words, schema=compare.WORDS),
    }.items():
        metadata = schema.with_metadata(table.schema, fingerprint="f00d").metadata
        store.aggregates.write(name, table.replace_schema_metadata(metadata))
    return Path(write_report(store, examples=5))


def ids(driver) -> list[str]:
    return driver.execute_script("return [...document.querySelectorAll('#results .id')].map((id) => id.textContent)")


def count(driver) -> int:
    return int(driver.execute_script("return document.getElementById('status').textContent").split()[0])


def fill(driver, **fields: str) -> None:
    """Choose filters as a user does, and wait until they are applied."""
    driver.execute_script(
        """
        for (const [name, value] of Object.entries(arguments[0])) {
          const field = igReport.state.form.elements.namedItem(name);
          if (field.type === 'checkbox') field.checked = value === '1'; else field.value = value;
          for (const kind of ['input', 'change']) {
            (field.length ? igReport.state.form : field).dispatchEvent(new Event(kind, { bubbles: true }));
          }
        }
        document.getElementById('status').textContent = '';
        """,
        fields,
    )
    browser.until(driver, "document.getElementById('status').textContent !== ''")


def press(driver, *keys: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(driver, duration=0).send_keys(*keys).perform()


def focused(driver) -> str:
    return driver.execute_script("return document.activeElement.textContent")


def tip(driver) -> str:
    return driver.execute_script("const tip = document.getElementById('tip'); return tip.hidden ? '' : tip.textContent")


def keys():
    from selenium.webdriver.common.keys import Keys

    return Keys


def opened(driver) -> None:
    browser.until(driver, "document.querySelector('#results .review .heat') !== null")
