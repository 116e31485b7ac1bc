"""RUN/report/compare: texts of two runs beside each other, on one page that opens from disk and runs no script.

First come the texts whose prediction has flipped, those that got wrong before all others, then those whose attribution
has moved most. With two classes what speaks against one speaks for the other: where the runs explain one class each,
the earlier attributions are told for the class explained now, as in `compare.rows`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

import pyarrow as pa

from ig_worker.errors import UsageError
from ig_worker.insight.compare.summary import Comparison
from ig_worker.insight.findings.check import rows_with, words_with_attributions
from ig_worker.insight.format import percent, signed
from ig_worker.insight.heat.colour import STEPS
from ig_worker.insight.report import examples
from ig_worker.insight.report.page import render, shades
from ig_worker.insight.report.section import Classes, View, classes_of
from ig_worker.insight.report.side_by_side_head import head, notes, tiles
from ig_worker.insight.tables.flat_rows import first_of_texts
from ig_worker.insight.tables.run_outputs import threshold_of
from ig_worker.insight.verdicts import scalar_of
from ig_worker.run.store.run_store import REPORT, RunStore
from ig_worker.schema import LABEL_LISTS, RANK, VALUE, VALUES

PAGE = f"{REPORT.rpartition('/')[0]}/compare/index.html"
WORDS = 6  # of a text, those that moved most
LOST, FLIPPED, CHANGED, MOVED = "lost", "flipped", "changed", "moved"
_TITLES = {  # kind -> title and note
    LOST: ("Right before, wrong now", "The surest mistakes first."),
    FLIPPED: ("Other predictions that flipped", "Still wrong or of unknown label first, then those that got right."),
    CHANGED: ("Numbers that changed most", ""),
    MOVED: ("Attribution moved most", "Among all other texts."),
}
_TRUTH = ("label", LABEL_LISTS, VALUE)  # what the data say
_RANKS = {(True, False): 0, (True, True): 2, (False, True): 2}  # right before and now -> place; 1 for all others


@dataclass(frozen=True)
class Pair:
    """A text of both runs that is shown."""

    id: str
    kind: str
    moved: float | None  # share of attribution, 0 to 1


def write_side_by_side(now: RunStore, before: RunStore, found: Comparison, texts: int = 40) -> str:
    """Write RUN/report/compare/index.html into the later run, and return its place.

    Args:
        now, before: the runs, of which `compare.rows.write_comparison` has just written the tables.
        found: what it returned.
        texts: the most that are shown.

    Raises:
        UsageError: there is no comparison.
    """
    table = now.aggregates.read("compare")
    if table is None:
        raise UsageError(f"{now.place} has no comparison", expected="a run that has been compared with an earlier one")
    threshold, manifests = threshold_of(now), (before.manifest.existing(), now.manifest.existing())
    flips = table.filter(table.column("flipped")).column("id").to_pylist()
    pairs = order(table, sureness(_light(now, flips), table, threshold), texts)
    ids = [pair.id for pair in pairs[:texts]]
    old, new = (examples.read_targets(store, ids) for store in (before, now))
    sizes = [len(row["probabilities"]) for of_text in new.values() for row in of_text[:1]]
    count = sizes[0] if sizes else 0
    was, classes = (
        classes_of(manifest, count, found.outputs, threshold_of(store))
        for manifest, store in zip(manifests, (before, now), strict=True)
    )
    view = {
        "head": head(*manifests, found),
        "tiles": tiles(found),
        "notes": notes(found, classes),
        "words": list(found.words),
        "groups": groups(pairs[:texts], old, new, was, classes),
        "left": left(pairs[texts:]),
        "outputs": found.outputs,
        "steps": STEPS,
        **shades("PiYG"),
    }
    return now.write_text(PAGE, render(view, "side_by_side.html"))


def _light(store: RunStore, ids: Sequence[str]) -> pa.Table:
    return first_of_texts(rows_with(store, ids, ["id", RANK, "prediction", "probabilities"]))


def sureness(rows: pa.Table, table: pa.Table, threshold: float) -> dict[str, float]:
    """How sure the later model is of what it changed, by id.

    That is the probability of the predicted class; of several labels how far the surest of those that changed is from
    the threshold.
    """
    changed: dict[str, set[int]] = {}
    if "predicted" in table.schema.names:
        columns = (table.column(name).to_pylist() for name in ("id", "predicted_before", "predicted"))
        changed = {id: set(was) ^ set(now) for id, was, now in zip(*columns, strict=True)}
    found = {}
    for row in rows.to_pylist():
        told, p = changed.get(row["id"]), row["probabilities"]
        sure = p[row["prediction"]] if told is None else max((abs(p[i] - threshold) for i in told), default=0.0)
        found[row["id"]] = float(sure)
    return found


def order(table: pa.Table, sure: Mapping[str, float], texts: int) -> list[Pair]:
    """Every text that flipped or moved, the first to be shown in front. Ties go by id: equal runs give equal pages.

    Args:
        table: of `compare.rows.ROWS`.
        sure: as `sureness` gives it.
        texts: the most that are shown; of numbers, half of them are those that changed most.
    """
    rows = sorted(table.to_pylist(), key=lambda row: row["id"])
    flips = sorted((row for row in rows if row["flipped"]), key=lambda row: (_place(row), -sure.get(row["id"], 0.0)))
    kinds = {row["id"]: LOST if _place(row) == 0 else FLIPPED for row in flips}
    if "number" in table.schema.names:
        by_change = sorted(rows, key=lambda row: -abs(row["number"] - row["number_before"]))
        first = [row["id"] for row in by_change if row["number"] != row["number_before"]]
        kinds |= dict.fromkeys(first[: (texts + 1) // 2], CHANGED)
    by_drift = sorted((row for row in rows if row["moved"]), key=lambda row: -row["moved"])
    kinds |= {row["id"]: MOVED for row in by_drift if row["id"] not in kinds}
    drifts = {row["id"]: row["moved"] for row in rows}
    return [Pair(id, kind, drifts[id]) for id, kind in kinds.items()]


def _place(row: Mapping[str, Any]) -> int:
    """0 for a flip that got wrong, 2 for one that got right, 1 for others."""
    was, now = row.get("right_before"), row.get("right")
    if row["label"] is not None:
        was, now = row["prediction_before"] == row["label"], row["prediction"] == row["label"]
    return 1 if was is None or now is None else _RANKS.get((was, now), 1)


def left(pairs: Sequence[Pair]) -> list[str]:
    """What is not shown, counted."""
    names = {LOST: "that got wrong", FLIPPED: "that flipped", MOVED: "whose attribution moved"}
    counts = {name: sum(pair.kind == kind for pair in pairs) for kind, name in names.items()}
    return [f"{count:,} {name}" for name, count in counts.items() if count]


def groups(
    pairs: Sequence[Pair], old: Mapping[str, Any], new: Mapping[str, Any], was: Classes, classes: Classes
) -> list[View]:
    """The texts by kind; `old` and `new` as `examples.read_targets` gives them. Those of one run only are left out."""
    found: dict[str, View] = {}
    for pair in pairs:
        if pair.id not in old or pair.id not in new:
            continue
        title, note = _TITLES[pair.kind]
        group = found.setdefault(pair.kind, {"kind": pair.kind, "title": title, "note": note, "pairs": []})
        group["pairs"].append(beside(pair, old[pair.id], new[pair.id], was, classes))
    return list(found.values())


def beside(pair: Pair, old: Sequence[View], new: Sequence[View], was: Classes, classes: Classes) -> View:
    """One text of both runs: two cards, and the words that moved most between them."""
    first, second = matched(old, new)
    first = first | {name: second[name] for name in _TRUTH if name in second}  # as `compare` takes it
    if classes.exclusive and len(first["probabilities"]) == len(second["probabilities"]) == 2:
        first = told_for(first, second["target"])
    same = _scalar(first) == _scalar(second)
    cards = []
    for title, row, names in (("Before", first, was), ("Now", second, classes)):
        plain = classes.outputs == VALUES and classes.count == 1
        cards.append(
            examples.card(row, names) | {"title": title, "target": "" if plain else scalar_of(row, names.name)}
        )
    return {
        "id": pair.id,
        "label": cards[1]["label"],
        "moved": "" if pair.moved is None else percent(pair.moved),
        "cards": cards,
        "same": same,
        "words": moved_words(first, second) if same else [],
    }


def _scalar(row: Mapping[str, Any]) -> tuple[int, int | None]:
    return row["target"], row["contrast"]


def matched(old: Sequence[View], new: Sequence[View]) -> tuple[View, View]:
    """The first target of the later run that the earlier one has, too; the first of each where there is none."""
    known = {_scalar(row): row for row in reversed(old)}
    return next(((known[_scalar(row)], row) for row in new if _scalar(row) in known), (old[0], new[0]))


def told_for(row: View, target: int) -> View:
    """A row of one of two classes as one of the other, which is exactly its opposite; itself where that is its target.

    F of the other is 1 − F, and −F of a contrast.
    """
    if row["target"] == target:
        return row
    whole = 1.0 if row["contrast"] is None else 0.0
    figures = {name: whole - row[name] for name in ("target_probability", "baseline_probability")}
    contrast = None if row["contrast"] is None else row["target"]
    turned = {"attributions": [-a for a in row["attributions"]], "delta": -row["delta"]}
    return {**row, **figures, **turned, "target": target, "contrast": contrast}


def moved_words(old: View, new: View) -> list[View]:
    """The words in both texts whose attribution changed most, all of a word's occurrences together.

    Words are those that both have, in their order, whatever the pieces: one text may be cut, or spelt in small letters.
    """
    (names, a), (texts, b) = words_with_attributions(old), words_with_attributions(new)
    was, now = ([name.casefold() for name in side] for side in (names, texts))
    sums: dict[str, list[float]] = {}
    for block in SequenceMatcher(None, was, now, autojunk=False).get_matching_blocks():
        for i, j in zip(range(block.a, block.a + block.size), range(block.b, block.b + block.size), strict=True):
            pair = sums.setdefault(texts[j], [0.0, 0.0])
            pair[0], pair[1] = pair[0] + a[i], pair[1] + b[j]
    rows = sorted(((word, x, y) for word, (x, y) in sums.items() if x != y), key=lambda row: -abs(row[2] - row[1]))
    return [
        {"word": word, "before": signed(x), "now": signed(y), "change": signed(y - x)} for word, x, y in rows[:WORDS]
    ]
