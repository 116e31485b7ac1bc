"""The head of the page, its tiles, and its lineage: what run it is, and how it went."""

from __future__ import annotations

from typing import Any

from ig_worker.insight.format import number, percent
from ig_worker.insight.report.section import View, part
from ig_worker.insight.tables.summary import RunSummary
from ig_worker.run.steps.promise import promise
from ig_worker.schema import LABELS, VALUES


def head(manifest: dict[str, Any], summary: RunSummary) -> View:
    """Title, method and lineage; everything that run.json says is shown somewhere."""
    config, data = part(manifest, "config"), part(manifest, "data")
    config |= {
        name: value for name, value in part(manifest, "identity").items() if name == "precision"
    }  # the chosen one
    model, dataset = config.get("model"), data.get("name") or config.get("dataset")
    method = [str(config[key]) for key in ("method",) if config.get(key)]
    if method and method[0] != "adaptive" and config.get("n_steps"):
        method.append(f"{config['n_steps']} steps")
    method += [f"{key.replace('_', ' ')} {config[key]}" for key in ("layer", "baseline", "target") if config.get(key)]
    expected, seen = data.get("rows"), summary.rows + summary.quarantined
    return {
        "model": short(model) if model else "Attributions",
        "dataset": short(dataset) if dataset else "",
        "method": method,
        "unfinished": f"{seen:,} of {expected:,}" if isinstance(expected, int) and seen < expected else "",
        "promise": promise(manifest),
        "lineage": [
            (title, [(str(key), plain(value)) for key, value in sorted(entries.items()) if value is not None])
            for title, entries in (
                ("Run", {key: manifest.get(key) for key in ("state", "fingerprint", "schema_version")}),
                ("Data", {key: value for key, value in data.items() if key != "class_names"}),
                ("Settings", config),
                ("Versions", part(manifest, "versions")),
                ("Counts", part(manifest, "counts")),
            )
            if any(value is not None for value in entries.values())
        ],
    }


def short(name: object) -> str:
    """A path or URI as its last part, a hub name as it is."""
    text = str(name)
    is_path = "://" in text or text.startswith(("/", ".", "~"))
    return text.rstrip("/").rsplit("/", 1)[-1] or text if is_path else text


def plain(value: object) -> str:
    """A setting as people read it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def tiles(summary: RunSummary) -> list[View]:
    """The headline figures."""
    cost = "forward and backward passes, mean"
    if summary.converged is not None:
        cost = f"a text, mean; {percent(summary.converged)} converged"
    return [
        *_how_right(summary),
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


def _how_right(summary: RunSummary) -> list[View]:
    """How right the model is: of several labels and of numbers, in two figures."""
    known, told = f"of {summary.labelled:,} labelled texts", summary.scores
    if not summary.labelled:
        what = {VALUES: ("Mean error", "no text has a number in the data"), LABELS: ("Accuracy", "no text has labels")}
        name, note = what.get(summary.outputs, ("Accuracy", "no text has a label"))
        return [{"name": name, "value": "–", "note": note, "link": ""}]
    if summary.outputs == LABELS:
        note, each = f"{known}; {percent(told['label_accuracy'])} of all labels are", number(told["macro_f1"])
        return [
            {"name": "Every label right", "value": percent(summary.accuracy), "note": note, "link": ""},
            {"name": "F1", "value": number(summary.f1), "note": f"of all labels; {each} as their mean", "link": ""},
        ]
    if summary.outputs == VALUES:
        note, ranks = f"{known}; root mean square {number(told['root_mean_square_error'])}", number(told["spearman"])
        return [
            {"name": "Mean error", "value": number(summary.error), "note": note, "link": ""},
            {"name": "Correlation", "value": number(told["pearson"]), "note": f"{ranks} of the ranks", "link": ""},
        ]
    return [{"name": "Accuracy", "value": percent(summary.accuracy), "note": known, "link": ""}]
