"""What the report shows, as plain data for its template: pure functions from tables and run.json, no HTML."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ig_worker.insight.format import number, percent, probability, signed
from ig_worker.insight.heat.pieces import words
from ig_worker.insight.report import examples
from ig_worker.insight.tables.measures import TOTAL
from ig_worker.insight.tables.summary import RunSummary

MAX_CLASSES = (
    12  # the confusion table is a square up to here, a list beyond; also how many classes get a chart of their words
)
MAX_CONFUSIONS = 20

View = dict[str, Any]


@dataclass(frozen=True)
class Classes:
    """The names of the classes, known or not."""

    names: tuple[str, ...]
    count: int

    def name(self, number: int | None) -> str:
        if number is None:
            return "no label"
        return self.names[number] if 0 <= number < len(self.names) else f"class {number}"


def classes_of(manifest: dict[str, Any], count: int) -> Classes:
    """Class names of run.json where it has them; `count` is the length of the probabilities."""
    names = section(manifest, "data").get("class_names")
    known = tuple(str(name) for name in names) if isinstance(names, list) else ()
    return Classes(known, count)


def section(manifest: dict[str, Any], key: str) -> dict[str, Any]:
    """A part of run.json, empty where it is missing."""
    value = manifest.get(key)
    return value if isinstance(value, dict) else {}


def head(manifest: dict[str, Any], summary: RunSummary) -> View:
    """Title, method and lineage; everything that run.json says is shown somewhere."""
    config, data = section(manifest, "config"), section(manifest, "data")
    model, dataset = config.get("model"), data.get("name") or config.get("dataset")
    method = [str(config[key]) for key in ("method",) if config.get(key)]
    if method and method[0] != "adaptive" and config.get("n_steps"):
        method.append(f"{config['n_steps']} steps")
    method += [f"{key.replace('_', ' ')} {config[key]}" for key in ("layer", "baseline", "target") if config.get(key)]
    expected, seen = data.get("rows"), summary.rows + summary.quarantined
    return {
        "model": _short(model) if model else "Attributions",
        "dataset": _short(dataset) if dataset else "",
        "method": method,
        "unfinished": f"{seen:,} of {expected:,}" if isinstance(expected, int) and seen < expected else "",
        "lineage": [
            (title, [(str(key), _plain(value)) for key, value in sorted(entries.items()) if value is not None])
            for title, entries in (
                ("Run", {key: manifest.get(key) for key in ("state", "fingerprint", "schema_version")}),
                ("Data", {key: value for key, value in data.items() if key != "class_names"}),
                ("Settings", config),
                ("Versions", section(manifest, "versions")),
                ("Counts", section(manifest, "counts")),
            )
            if any(value is not None for value in entries.values())
        ],
    }


def _short(place: object) -> str:
    """A path or URI as its last part, a hub name as it is."""
    text = str(place)
    is_path = "://" in text or text.startswith(("/", ".", "~"))
    return text.rstrip("/").rsplit("/", 1)[-1] or text if is_path else text


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def tiles(summary: RunSummary) -> list[View]:
    """The headline figures."""
    labelled = f"of {summary.labelled:,} labelled texts" if summary.labelled else "no text has a label"
    cost = "forward and backward passes, mean"
    if summary.converged is not None:
        cost = f"a text, mean; {percent(summary.converged)} converged"
    return [
        {"name": "Accuracy", "value": percent(summary.accuracy), "note": labelled, "link": ""},
        {
            "name": "Texts explained",
            "value": f"{summary.rows:,}",
            "note": f"{summary.quarantined:,} quarantined",
            "link": "#quarantine" if summary.quarantined else "",
        },
        {
            "name": "Median |delta|",
            "value": number(summary.delta_p50),
            "note": f"p99 {number(summary.delta_p99)}",
            "link": "",
        },
        {"name": "Evaluations", "value": f"{summary.evaluations:.1f}", "note": cost, "link": ""},
    ]


def confusion(table: pa.Table, classes: Classes) -> View:
    """The square of labels and predictions, or with many classes the most frequent confusions."""
    cells = table.to_pylist()
    unlabelled = sum(cell["count"] for cell in cells if cell["label"] is None)
    cells = [cell for cell in cells if cell["label"] is not None]
    numbers = sorted({cell[key] for cell in cells for key in ("label", "prediction")} | set(range(classes.count)))
    view: View = {"unlabelled": unlabelled, "names": [], "square": [], "pairs": []}
    if cells and len(numbers) <= MAX_CLASSES:
        by_pair = {(cell["label"], cell["prediction"]): cell for cell in cells}
        view["names"] = [classes.name(i) for i in numbers]
        view["square"] = [
            {"name": classes.name(label), "cells": [_cell(by_pair.get((label, i)), label, i) for i in numbers]}
            for label in numbers
        ]
    else:
        wrong = sorted((cell for cell in cells if cell["label"] != cell["prediction"]), key=lambda cell: -cell["count"])
        view["pairs"] = [
            {
                "label": classes.name(cell["label"]),
                "prediction": classes.name(cell["prediction"]),
                **_cell(cell, cell["label"], cell["prediction"]),
            }
            for cell in wrong[:MAX_CONFUSIONS]
        ]
    return view


def _cell(cell: dict[str, Any] | None, label: int, prediction: int) -> View:
    right, link = label == prediction, f"#?label={label}&prediction={prediction}"
    if cell is None:
        return {"count": "0", "share": "", "width": 0, "right": right, "title": "none", "link": link}
    share, sure = cell["share_of_label"], cell["mean_confidence"]
    return {
        "count": f"{cell['count']:,}",
        "share": percent(share),
        "width": round(100 * share),
        "right": right,
        "title": f"{percent(share)} of the label, mean confidence {probability(sure)}",
        "link": link,
    }


_STATUS = {"fixed": "fixed rule", "evaluation_limit": "evaluation limit", TOTAL: "all"}


def convergence(table: pa.Table) -> list[View]:
    """One line per status; the line of all rows only where there are several."""
    rows = table.to_pylist()
    rows = rows[:1] if len(rows) == 2 else rows
    return [
        {
            "status": _STATUS.get(row["status"], row["status"]),
            "total": row["status"] == TOTAL,
            "rows": f"{row['rows']:,}",
            "share": percent(row["share"]),
            "delta": [number(row[f"abs_delta_{name}"]) for name in ("p50", "p90", "p99", "max")],
            "evaluations": f"{row['evaluations_mean']:.1f}",
            "error": number(row["error_estimate_p50"]),
            "truncated": percent(row["truncated_share"]),
        }
        for row in rows
    ]


def quarantine(table: pa.Table, seen: int) -> list[View]:
    """Quarantined rows by reason, the most frequent first, each with one of its rows."""
    rows = table.select(["id", "reason", "detail", "chunk", "position"]).to_pylist()
    first = {row["reason"]: row for row in reversed(rows)}
    return [
        {
            "reason": reason,
            "rows": f"{count:,}",
            "share": percent(count / seen),
            "id": first[reason]["id"],
            "place": f"chunk {first[reason]['chunk']}, row {first[reason]['position']}",
            "detail": first[reason]["detail"],
        }
        for reason, count in sorted(Counter(row["reason"] for row in rows).items(), key=lambda item: (-item[1], item))
    ]


_KINDS = {
    examples.WRONG: ("Confident and wrong", "The model was sure, and the label disagrees. Look at the label, too."),
    examples.RIGHT: ("Confident and right", "The surest correct predictions, the classes in turn."),
    examples.UNLABELLED: ("Confident, without a label", "The surest predictions among texts without a label."),
    examples.UNCERTAIN: ("Least certain", "The predicted class hardly won."),
    examples.INEXACT: ("Largest |delta|", "Where the attributions sum least exactly to the change in probability."),
    examples.LONG: ("Longest", ""),
    examples.SHORT: ("Shortest", ""),
}


def example_groups(chosen: list[examples.Example], rows: list[dict[str, Any]], classes: Classes) -> list[View]:
    """The example reviews by kind, in their order; `rows` as `examples.read_examples` gives them."""
    groups: dict[str, View] = {}
    for example, row in zip(chosen, rows, strict=True):
        title, note = _KINDS[example.kind]
        group = groups.setdefault(example.kind, {"kind": example.kind, "title": title, "note": note, "cards": []})
        group["cards"].append(card(row, classes))
    return list(groups.values())


def card(row: dict[str, Any], classes: Classes) -> View:
    """One example review."""
    label, prediction, target = row["label"], row["prediction"], row["target"]
    return {
        "id": row["id"],
        "verdict": "unlabelled" if label is None else "right" if label == prediction else "wrong",
        "label": classes.name(label),
        "prediction": classes.name(prediction),
        "target": classes.name(target) if target != prediction else "",
        "confidence": probability(row["probabilities"][prediction]),
        "probability": probability(row["target_probability"]),
        "baseline": probability(row["baseline_probability"]),
        "sum": signed(float(np.sum(np.asarray(row["attributions"], np.float64)))),
        "delta": signed(row["delta"]),
        "evaluations": f"{row['evaluations']:g}",
        "tokens": sum(word_id >= 0 for word_id in row["word_ids"]),
        "limit": row["status"] == "evaluation_limit",
        "truncated": row["truncated"],
        "words": words(row["tokens"], row["word_ids"], row["attributions"]),
    }
