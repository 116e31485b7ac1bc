"""The head of the page of two runs: which they are, in what they differ, and what the comparison says in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ig_worker.insight.compare.summary import Comparison
from ig_worker.insight.format import number, percent
from ig_worker.insight.report import overview
from ig_worker.insight.report.section import Classes, View, part
from ig_worker.schema import CLASSES, LABELS, VALUES


def head(old: Mapping[str, Any], new: Mapping[str, Any], found: Comparison) -> View:
    """Which runs and models, and the settings in which they differ."""
    settings = [part(dict(m), "data") | part(dict(m), "config") | part(dict(m), "identity") for m in (old, new)]
    models = [overview.short(one["model"]) if one.get("model") else "" for one in settings]
    dataset = part(dict(new), "data").get("name") or settings[1].get("dataset")
    differ = [
        (str(key).replace("_", " "), *(("–" if one.get(key) is None else overview.plain(one[key])) for one in settings))
        for key in sorted(settings[0].keys() | settings[1].keys())
        if settings[0].get(key) != settings[1].get(key)
    ]
    sides = [
        {"title": title, "place": place, "model": model}
        for title, place, model in zip(("Before", "Now"), (found.before, found.now), models, strict=True)
    ]
    return {"dataset": overview.short(dataset) if dataset else "", "sides": sides, "differ": differ}


def tiles(found: Comparison) -> list[View]:
    """The headline figures of the comparison."""
    only = f"{found.only_before:,} only before, {found.only_now:,} only now"
    rows: list[tuple[str, str, str]] = [("Texts in both", f"{found.paired:,}", only)]
    was, now = found.scores_before, found.scores
    if found.outputs == VALUES:
        rows.append(("Numbers changed by", number(found.change), "mean"))
        titles = {"Mean error": "mean_absolute_error", "Correlation": "pearson"} if found.labelled else {}
    else:
        share = percent(found.flips / max(found.paired, 1))
        rows.append(("Predictions flipped", f"{found.flips:,}", f"{share} of the texts"))
        titles = {"F1 of all labels": "micro_f1"} if found.outputs == LABELS and found.labelled else {}
        if found.labelled:
            note = f"{percent(found.accuracy_before)} before, of {found.labelled:,} labelled texts"
            rows.append(
                ("Accuracy" if found.outputs == CLASSES else "Every label right", percent(found.accuracy), note)
            )
            rows.append(("Got wrong", f"{found.worse:,}", f"{found.better:,} got right, p {found.p_value:.2g}"))
            rows.append(("Calibration error", number(found.calibration), f"{number(found.calibration_before)} before"))
    rows += [(title, number(now[name]), f"{number(was[name])} before") for title, name in titles.items()]
    rows.append(("Attribution moved", percent(found.drift), f"mean of {found.aligned:,} texts"))
    return [{"name": name, "value": value, "note": note} for name, value, note in rows]


def notes(found: Comparison, classes: Classes) -> list[str]:
    """What else the comparison says: by class or label, and by outcome."""
    told = [
        f"{classes.name(one.label)}: {percent(one.before)} of {one.rows:,} rows right before, {percent(one.now)} now"
        for one in found.classes
        if abs(one.now - one.before) >= 0.01
    ]
    return told + [line.strip() for outcome in found.outcomes for line in outcome.lines()]
