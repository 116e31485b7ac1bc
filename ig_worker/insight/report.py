"""RUN/report/index.html: the run on one page that opens from disk, without scripts and without network."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ig_worker.insight import views
from ig_worker.insight.aggregate import current
from ig_worker.insight.colour import STEPS, Swatch, swatches
from ig_worker.insight.examples import choose_examples, read_examples, read_rows
from ig_worker.insight.measures import SHRINKAGE
from ig_worker.insight.summary import summarise
from ig_worker.run.store import REPORT, RunStore

_DARK = (0x1B / 255, 0x1D / 255, 0x22 / 255)  # --surface of the dark page in report.css


def write_report(store: RunStore, examples: int = 60, palette: str = "PiYG") -> str:
    """Write RUN/report/index.html and return its place; aggregates the run first where that is not yet done.

    Args:
        store: the run.
        examples: how many reviews are shown as heat maps.
        palette: colours of the heat maps, one of `colour.PALETTES`.

    Raises:
        UsageError: no row is explained yet, or the palette is unknown.
    """
    return store.write_text(REPORT, render(context(store, examples, palette)))


def context(store: RunStore, examples: int = 60, palette: str = "PiYG") -> views.View:
    """Everything that the template shows, as plain data."""
    tables = current(store)
    quarantined = store.read_quarantine()
    summary = summarise(tables, quarantined.num_rows)
    rows = read_rows(store)
    chosen = choose_examples(rows, examples)
    manifest = store.manifest()
    classes = views.classes_of(manifest, rows.classes)
    return {
        "head": views.head(manifest, summary),
        "tiles": views.tiles(summary),
        "confusion": views.confusion(tables["classes"], classes),
        "convergence": views.convergence(tables["convergence"]),
        "quarantine": views.quarantine(quarantined, summary.rows + summary.quarantined),
        "tokens": views.token_tables(tables["tokens"], classes, summary.rows),
        "groups": views.example_groups(chosen, read_examples(store, rows, chosen), classes),
        "shrinkage": SHRINKAGE,
        "steps": STEPS,
        "light": _rules(swatches(palette)),
        "dark": _rules(swatches(palette, _DARK)),
    }


def render(view: dict[str, Any]) -> str:
    """The page. Every value is escaped; a name that the template uses and `view` lacks is an error."""
    environment = Environment(
        loader=PackageLoader("ig_worker.insight"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(view)


def _rules(shades: dict[int, Swatch]) -> list[tuple[str, Swatch]]:
    """CSS class of each level: p1 to p20 above 0, n1 to n20 below."""
    return [(f"{'p' if level > 0 else 'n'}{abs(level)}", swatch) for level, swatch in shades.items() if level]
