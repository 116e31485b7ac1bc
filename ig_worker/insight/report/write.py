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
from typing import Any

import pyarrow as pa
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ig_worker import schema
from ig_worker.insight.format import number, percent, signed
from ig_worker.insight.heat.colour import STEPS, Swatch, swatches
from ig_worker.insight.report import charts, figures, views
from ig_worker.insight.report.examples import choose_examples, read_examples, read_rows
from ig_worker.insight.report.js_scripts import json_text, named_by_content
from ig_worker.insight.report.review_index import DETAIL_ROWS, SEGMENT_ROWS, write_explorer
from ig_worker.insight.tables.aggregate import current
from ig_worker.insight.tables.measures import SHRINKAGE
from ig_worker.insight.tables.summary import summarise
from ig_worker.models.words import MARKED
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
OPTIONAL = ("faithfulness", "compare", "compare_words")  # tables of other jobs than jobs.aggregate
_DARK = (0x1B / 255, 0x1D / 255, 0x22 / 255)  # --surface of the dark page in report.css


def write_report(store: RunStore, examples: int = 60, palette: str = "PiYG") -> str:
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


def context(store: RunStore, examples: int = 60, palette: str = "PiYG") -> views.View:
    """Everything that the template shows but the names of scripts, as plain data, and the ids of flipped rows."""
    tables = {**current(store), **_optional(store)}
    quarantined = store.read_quarantine()
    summary = summarise(tables, quarantined.num_rows)
    rows = read_rows(store)
    chosen = choose_examples(rows, examples)
    manifest = store.manifest()
    classes = views.classes_of(manifest, rows.classes)
    change = figures.change(tables.get("compare"))
    return {
        "head": views.head(manifest, summary),
        "tiles": views.tiles(summary),
        "confusion": views.confusion(tables["classes"], classes),
        "convergence": views.convergence(tables["convergence"]),
        "quarantine": views.quarantine(quarantined, summary.rows + summary.quarantined),
        "charts": charts.charts(tables, classes, summary.rows),
        "ngrams": charts.ngrams(tables.get("ngrams"), classes, summary.rows),
        "faithful": figures.faithful(tables.get("faithfulness")),
        "change": change,
        "shares": figures.shares(tables.get("shares"), classes),
        "truncation": figures.truncation(tables.get("truncation")),
        "groups": views.example_groups(chosen, read_examples(store, rows, chosen), classes),
        "meta": {
            "rows": summary.rows,
            "labelled": summary.labelled,
            "classes": [classes.name(i) for i in range(classes.count)],
            "detailRows": DETAIL_ROWS,
            "innerMark": MARKED,
            "segmentRows": SEGMENT_ROWS,
            "steps": STEPS,
            "compared": change is not None,
        },
        "flipped": figures.flipped_ids(tables.get("compare")),
        "shrinkage": SHRINKAGE,
        "steps": STEPS,
        "light": _rules(swatches(palette)),
        "dark": _rules(swatches(palette, _DARK)),
    }


def _optional(store: RunStore) -> dict[str, pa.Table]:
    """The tables of other jobs, where they are there and of the run as it is now."""
    fingerprint = str(store.manifest().get("fingerprint") or "").encode()
    found = {name: store.read_aggregate(name) for name in OPTIONAL}
    return {
        name: table
        for name, table in found.items()
        if table is not None and (table.schema.metadata or {}).get(schema.META_FINGERPRINT, b"") == fingerprint
    }


def render(view: dict[str, Any]) -> str:
    """The page. Every value is escaped; a name that the template uses and `view` lacks is an error."""
    environment = Environment(
        loader=PackageLoader("ig_worker.insight.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        json=lambda content: Markup(json_text(content)),  # which has escaped what HTML would read
        signed=signed,
        figure=number,
        percent=percent,
        thousands="{:,}".format,
    )
    return environment.get_template("report.html").render(view)


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


def _rules(shades: dict[int, Swatch]) -> list[tuple[str, Swatch]]:
    """CSS class of each level: p1 to p20 above 0, n1 to n20 below."""
    return [(f"{'p' if level > 0 else 'n'}{abs(level)}", swatch) for level, swatch in shades.items() if level]
