"""The head of the page, its tiles, and its lineage: what run it is, and how it went."""

from __future__ import annotations

from typing import Any

from ig_worker.insight.format import number, percent
from ig_worker.insight.report.section import View, part
from ig_worker.insight.tables.summary import RunSummary
from ig_worker.run.steps.promise import promise


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
        "model": _short(model) if model else "Attributions",
        "dataset": _short(dataset) if dataset else "",
        "method": method,
        "unfinished": f"{seen:,} of {expected:,}" if isinstance(expected, int) and seen < expected else "",
        "promise": promise(manifest),
        "lineage": [
            (title, [(str(key), _plain(value)) for key, value in sorted(entries.items()) if value is not None])
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


def _short(name: object) -> str:
    """A path or URI as its last part, a hub name as it is."""
    text = str(name)
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
