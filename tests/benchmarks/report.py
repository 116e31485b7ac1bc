"""A benchmark's records as a table on the terminal, as Markdown, and as a plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

Record = Mapping[str, Any]
_HEADINGS = (
    "", "reviews/s", "evaluations a review", "ms an evaluation", "peak memory, MiB", "of matrix rate",
    "error: median", "p90", "p99", "times the first row", "times the best fixed rule",
)  # fmt: skip
BEST = "best fixed"  # how the note begins of the rule that was chosen in hindsight


def cells(record: Record, first: str, best: str | None = None) -> list[str]:
    """A record as text, in the order of the table's headings.

    Args:
        record: of the row.
        first: name of the first row.
        best: name of the row of the best fixed rule, where there is one.
    """
    found = record.get("accuracy")
    errors = [f"{found[name]:.1e}" if found else "" for name in ("median", "p90", "p99")]
    return [
        f"{record['name']} ({record['note']})" if record["note"] else record["name"],
        f"{record['reviews_per_s']:.3g}",
        f"{record['evaluations']:.1f}",
        f"{record['ms_per_evaluation']:.3g}",
        f"{record['peak_memory'] / 2**20:.0f}",
        _percent(record["share_of_matrix_rate"]),
        *errors,
        f"{record['faster_than'].get(first, 1.0):.2f}",
        f"{record['faster_than'].get(best, 1.0):.2f}" if best else "",
    ]


def _percent(share: float) -> str:
    return "" if share != share else f"{share:.0%}"


def _columns(records: Sequence[Record]) -> tuple[list[str], list[list[str]]]:
    """Headings and rows without the columns that are empty everywhere."""
    best = next((record["name"] for record in records if record["note"].startswith(BEST)), None)
    rows = [cells(record, records[0]["name"], best) for record in records]
    kept = [i for i in range(len(_HEADINGS)) if i == 0 or any(row[i] for row in rows)]
    return [_HEADINGS[i] for i in kept], [[row[i] for i in kept] for row in rows]


def show(title: str, records: Sequence[Record]) -> None:
    """Print a table."""
    show_plain(title, *_columns(records))
    for record in records:
        if record.get("pilot"):
            _console().print(_pilot(record["pilot"]))


def show_plain(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table of text."""
    table = Table(title=title, title_justify="left")
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="right" if i else "left")
    for row in rows:
        table.add_row(*row)
    _console().print(table)


def _pilot(found: Record) -> str:
    """What a pilot cost, which is no part of the times."""
    seconds = f", {found['seconds']:.0f} s" if "seconds" in found else ""
    promise = "certified" if found["calibration"]["certified"] else "nothing is promised by so few"
    return (
        f"*ours, adaptive* goes by a pilot of {found['rows']} other reviews ({promise}), once for a run: "
        f"{found['evaluations']:,.0f} evaluations{seconds}."
    )


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=200)  # a file has no width of its own


def markdown(result: Mapping[str, Any]) -> str:
    """The tables of a result, as the README shows them."""
    lines = [origin(result), ""]
    for title, records in result["tables"].items():
        headings, rows = _columns(records)
        lines += [f"**{title}**", "", line(headings), line(["---", *["---:"] * (len(headings) - 1)])]
        lines += [*map(line, rows), ""]
        lines += [text for record in records if record.get("pilot") for text in (_pilot(record["pilot"]), "")]
    return "\n".join(lines)


def origin(result: Mapping[str, Any]) -> str:
    """Machine, threads, rounds, date and versions of a result, on one line."""
    machine = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items() if version)
    return f"{machine['cpu']}, {result['threads']} threads, {result['rounds']} rounds, {machine['date']}; {versions}."


def line(values: Sequence[str]) -> str:
    """A line of a Markdown table."""
    return "| " + " | ".join(values) + " |"


def plot(result: Mapping[str, Any], path: Path) -> None:
    """Reviews per second of every row of every table, as bars."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    tables = result["tables"]
    tallest = max(len(records) for records in tables.values())
    figure, axes = plt.subplots(len(tables), 1, figsize=(9, len(tables) * (1 + 0.35 * tallest)), squeeze=False)
    for axis, (title, records) in zip(axes[:, 0], tables.items(), strict=True):
        names = [record["name"] for record in records]
        rates = [record["reviews_per_s"] for record in records]
        colours = ["tab:green" if name.startswith("ours") else "tab:grey" for name in names]
        bars = axis.barh(names, rates, color=colours)
        axis.bar_label(bars, [f" {rate:.3g}" for rate in rates])
        axis.set_xscale("log")
        axis.set_xlabel("reviews/s")
        axis.invert_yaxis()
        axis.margins(x=0.2)
        axis.set_title(title, loc="left", fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)
