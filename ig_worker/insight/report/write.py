"""RUN/report: the run on one page that opens from disk, without network.

`index.html` shows all but the reviews by itself; charts and explorer are scripts beside it, and the reviews are scripts
that these load (`review_index`), since a page from disk may fetch nothing. Every script is named by its content and
written before the page that names it, and what the page does not name is deleted last: whoever has an older page open,
or loses the machine in between, has a whole report.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from importlib.resources import files

from ig_worker.insight.report.js_scripts import named_by_content
from ig_worker.insight.report.page import context, render
from ig_worker.insight.report.review_index import write_explorer
from ig_worker.run.store.run_store import REPORT, RunStore

FOLDER = REPORT.rpartition("/")[0]
APP, DATA = "app", "data"  # folders beside the page
SCRIPTS = (
    "vendor/d3.min.js",
    "vendor/plot.umd.min.js",
    "app/data.js",
    "app/search.js",
    "app/heat.js",
    "app/state.js",
    "app/list.js",
    "app/explorer.js",
    "app/charts.js",
)  # in the order in which the page runs them
LICENCES = ("LICENSE-d3.txt", "LICENSE-plot.txt")


def write_report(store: RunStore, examples: int = 12, palette: str = "PiYG") -> str:
    """Write RUN/report and return the place of its index.html; aggregates the run first where that is not yet done.

    Args:
        store: the run.
        examples: how many reviews stand on the page itself, as heat maps; the explorer has them all.
        palette: colours of the heat maps, one of `colour.PALETTES`.

    Raises:
        UsageError: no row is explained yet, or the palette is unknown.
    """
    view = context(store, examples, palette)
    names: list[str] = []

    def publish(stem: str, text: str, folder: str = DATA) -> str:
        name = named_by_content(f"{folder}/{stem}", text)
        store.write_text(f"{FOLDER}/{name}", text)
        names.append(name)
        return name

    segments = write_explorer(store, publish, view.pop("flipped"))
    view["meta"]["segments"] = segments
    view["scripts"] = [publish(_stem(name), _template(name), APP) for name in SCRIPTS]
    for name in LICENCES:
        store.write_text(f"{FOLDER}/{APP}/{name}", _template(f"vendor/{name}"))
    place = store.write_text(REPORT, render({**view, "nonce": nonce(names)}))
    _delete_others(store, names)
    return place


def nonce(names: Iterable[str]) -> str:
    """What a script of the page needs to run, 128 bits.

    It follows from the content of all scripts, so equal runs give equal pages, and who puts something into a text
    cannot know it: that text changes it.
    """
    return base64.b64encode(hashlib.sha256("\n".join(names).encode()).digest()[:16]).decode()


def _delete_others(store: RunStore, names: Iterable[str]) -> None:
    """Delete the scripts of earlier reports."""
    kept = set(names)
    for folder in (APP, DATA):
        for name in store.storage.list(f"{FOLDER}/{folder}", ".js"):
            if f"{folder}/{name}" not in kept:
                store.storage.delete(f"{FOLDER}/{folder}/{name}")


def _template(name: str) -> str:
    return (files("ig_worker.insight.report") / "templates" / name).read_text(encoding="utf-8")


def _stem(name: str) -> str:
    return name.rpartition("/")[2].removesuffix(".js")
