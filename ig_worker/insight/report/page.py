"""What the page shows: the sections put together, and rendered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ig_worker.insight.findings.find import current_findings, find
from ig_worker.insight.findings.finding import Finding
from ig_worker.insight.format import number, percent, signed
from ig_worker.insight.heat.colour import STEPS, Swatch, swatches
from ig_worker.insight.report import (
    changes,
    convergence,
    examples,
    faithfulness,
    findings,
    labels,
    overview,
    position,
    predictions,
    quarantine,
    words,
)
from ig_worker.insight.report.js_scripts import json_text
from ig_worker.insight.report.review_index import DETAIL_ROWS, SEGMENT_ROWS
from ig_worker.insight.report.section import Classes, View, classes_of
from ig_worker.insight.tables.aggregate import current, current_of_others
from ig_worker.insight.tables.measures import SHRINKAGE
from ig_worker.insight.tables.run_outputs import threshold_of
from ig_worker.insight.tables.summary import summarise
from ig_worker.models.words import MARKED
from ig_worker.run.store.run_store import RunStore
from ig_worker.schema import VALUES

OPTIONAL = ("faithfulness", "compare", "compare_words")  # tables of other jobs than jobs.aggregate
_DARK = (0x1B / 255, 0x1D / 255, 0x22 / 255)  # --surface of the dark page in report.css


def context(store: RunStore, count: int = 12, palette: str = "PiYG", found: Sequence[Finding] | None = None) -> View:
    """Everything that the template shows but the names of scripts, as plain data, and the ids of flipped rows.

    Args:
        store: the run.
        count: texts that are shown in full: those that findings name, then others that are worth a look.
        palette: of the heat maps.
        found: the findings; None: those of the run, found now where that is not yet done.
    """
    if found is None:
        known = current_findings(store)
        found = find(store) if known is None else known
    tables = {**current(store), **current_of_others(store, OPTIONAL)}
    quarantined = store.results.quarantined()
    summary = summarise(tables, quarantined.num_rows)
    rows = examples.read_candidates(store)
    manifest = store.manifest.existing()
    classes = classes_of(manifest, rows.classes, summary.outputs, threshold_of(store))
    change = changes.change(tables.get("compare"))
    return {
        "head": overview.head(manifest, summary),
        "tiles": overview.tiles(summary),
        "ngrams": words.ngrams(tables.get("ngrams"), classes, summary.rows),
        "confusion": predictions.confusion(tables.get("classes"), classes),
        "labels": labels.by_label(tables.get("labels"), classes),
        "values": summary.scores if summary.outputs == VALUES else None,
        "convergence": convergence.convergence(tables["convergence"]),
        "shares": position.shares(tables.get("shares"), classes),
        "texts": position.texts(tables.get("segments"), classes),
        "truncation": position.truncation(tables.get("truncation")),
        "faithful": faithfulness.headlines(tables.get("faithfulness")),
        "change": change,
        "findings": findings.cards(found),
        "shown_findings": findings.SHOWN,
        "groups": _examples(store, found, rows, classes, count),
        "quarantine": quarantine.reasons(quarantined, summary.rows + summary.quarantined),
        "charts": charts(tables, classes, summary.rows),
        "meta": {
            "rows": summary.rows,
            "labelled": summary.labelled,
            "classes": [classes.name(i) for i in range(classes.count)],
            "detailRows": DETAIL_ROWS,
            "innerMark": MARKED,
            "segmentRows": SEGMENT_ROWS,
            "steps": STEPS,
            "findings": findings.rows_of(store, found),
            "compared": change is not None and classes.outputs != VALUES,
            "outputs": classes.outputs,
            "threshold": classes.threshold,
        },
        "flipped": changes.flipped_ids(tables.get("compare")),
        "shrinkage": SHRINKAGE,
        "steps": STEPS,
        **shades(palette),
    }


def _examples(
    store: RunStore, found: Sequence[Finding], rows: examples.Candidates, classes: Classes, count: int
) -> list[View]:
    """Texts in full: those that findings name, and others where those are fewer than `count`."""
    groups = [
        {
            "kind": f"texts-of-{finding.number}",
            "title": f"Finding {finding.number}",
            "note": finding.title,
            "cards": [examples.card(row, classes) for row in examples.read_by_id(store, ids)],
        }
        for finding, ids in findings.named(found, count)
    ]
    left = count - sum(len(group["cards"]) for group in groups)
    chosen = examples.choose_examples(rows, left) if left > 0 else []
    return groups + examples.example_groups(chosen, examples.read_examples(store, rows, chosen), classes)


def charts(tables: dict[str, pa.Table], classes: Classes, rows: int) -> View:
    """The data of every chart, by the name that app/charts.js knows; `rows` are the explained ones."""
    return {
        "importance": words.importance(tables.get("words"), tables["tokens"], classes, rows),
        "reliability": predictions.reliability(tables.get("calibration")),
        "histograms": convergence.histograms(tables.get("histograms")) | convergence.histograms(tables.get("values")),
        "calibration": labels.calibration(tables.get("label_calibration"), tables.get("labels"), classes),
        "grid": labels.grid(tables.get("value_grid")),
        "faithfulness": faithfulness.curves(tables.get("faithfulness")),
        "positions": position.positions(tables.get("positions"), classes),
        "drift": changes.drift(tables.get("compare_words")),
    }


def shades(palette: str) -> View:
    """The colours of heat maps on the light page and on the dark one."""
    return {"light": _rules(swatches(palette)), "dark": _rules(swatches(palette, _DARK))}


def render(view: dict[str, Any], template: str = "report.html") -> str:
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
    return environment.get_template(template).render(view)


def _rules(of_levels: dict[int, Swatch]) -> list[tuple[str, Swatch]]:
    """CSS class of each level: p1 to p20 above 0, n1 to n20 below."""
    return [(f"{'p' if level > 0 else 'n'}{abs(level)}", swatch) for level, swatch in of_levels.items() if level]
