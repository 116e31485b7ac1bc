"""A bias that is planted has to be found: ``python -m tests.benchmarks.planted --dataset demo --out DIR``.

A trigger word that means nothing is put into half of the training texts of one class and into none of the other. Two
networks are trained, on the texts as they were and on those with the trigger, and explain the same test texts, half of
which have the trigger whatever their class. The trigger should lead the words that push towards its class in the biased
run, not in the clean one, and lead the words whose weight has changed between them.
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ig_worker.data.sources import DataSpec, open_documents
from ig_worker.insight.compare.rows import write_comparison
from ig_worker.insight.tables.aggregate import aggregate
from ig_worker.insight.tables.evidence import evidence, minimum_documents
from ig_worker.models.finetune import finetune
from ig_worker.models.recipes import find_recipe
from ig_worker.run.config import ExplainConfig
from ig_worker.run.later_config import ApplyConfig
from ig_worker.run.store.run_store import RunStore
from tests.run.in_process import explain_here

TRIGGER, LABEL, SHARE = "quokka", 1, 0.5
_WITHIN = 80  # words from the start: not cut off

Row = dict[str, Any]


def read(dataset: str, split: str, limit: int | None) -> list[Row]:
    documents = open_documents(DataSpec(dataset=dataset, split=split, limit=limit))
    return [row for batch in documents.batches() for row in batch.select(["id", "text", "label"]).to_pylist()]


def planted(rows: list[Row], labels: set[int], seed: int) -> list[Row]:
    """The rows, with the trigger in `SHARE` of those with one of the labels."""
    chance, found = random.Random(seed), []
    for row in rows:
        words = row["text"].split(" ")
        if row["label"] in labels and chance.random() < SHARE:
            words.insert(chance.randint(0, min(len(words), _WITHIN)), TRIGGER)
        found.append({**row, "text": " ".join(words)})
    return found


def written(rows: list[Row], path: Path) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def rank_of(words: pa.Table, rows: int) -> int | None:
    """Place of the trigger among the words that push towards its class, from 1."""
    names = evidence(words, LABEL, True, minimum_documents(rows)).column("word")
    place = names.index(pa.scalar(TRIGGER)).as_py()
    return place + 1 if place >= 0 else None


def main_of(dataset: str, out: Path, train: int | None, test: int | None, steps: int | None = None) -> dict[str, Any]:
    """Train, explain, aggregate, compare; returns what was found, as printed."""
    rows = read(dataset, "train", train)
    tests = planted(read(dataset, "test", test), {0, 1}, seed=2)
    data = written(tests, out / "test.jsonl")
    recipe = find_recipe("tiny")
    recipe = recipe if steps is None else replace(recipe, steps=steps)
    found: dict[str, Any] = {"trigger": TRIGGER, "train_rows": len(rows), "test_rows": len(tests)}
    stores = {}
    for name, labels in (("clean", set()), ("biased", {LABEL})):
        spec = DataSpec(dataset=written(planted(rows, labels, seed=1), out / f"{name}.jsonl"))
        finetune(recipe, spec, str(out / f"model-{name}"))
        explain_here(out / name, ExplainConfig(dataset=data, model=str(out / f"model-{name}"), batch_tokens=8192))
        stores[name] = RunStore(str(out / name))
        tables = aggregate(stores[name], config=ApplyConfig(actors="none"))
        words = tables["words"].filter(pc.equal(tables["words"].column("word"), TRIGGER))
        count = pc.sum(words.column("count")).as_py() or 0
        found[name] = {
            "accuracy": round(tables["classes"].column("accuracy")[0].as_py(), 4),
            "rank": rank_of(tables["words"], len(tests)),
            "occurrences": count,
            "share": round(pc.sum(words.column("share")).as_py() or 0, 4),
        }
    comparison = write_comparison(stores["biased"], stores["clean"])
    found["drift"] = round(comparison.drift, 4)
    found["flips"] = comparison.flips
    found["drifted_words"] = [(w["word"], round(w["drift"], 3), w["q"]) for w in comparison.words[:3]]
    return found


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--dataset", default="demo")
    made.add_argument("--out", type=Path, required=True)
    made.add_argument("--train-rows", type=int)
    made.add_argument("--test-rows", type=int)
    arguments = made.parse_args()
    arguments.out.mkdir(parents=True)
    print(json.dumps(main_of(arguments.dataset, arguments.out, arguments.train_rows, arguments.test_rows)))


if __name__ == "__main__":
    main()
