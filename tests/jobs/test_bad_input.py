"""One data set of all that rows can have wrong, explained once: each row ends where it should, the others too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from ig_worker.run.store.run_store import RunStore
from jobs import aggregate, explain, report, verify

EXPLAINED = "explained"


class Odd(NamedTuple):
    """A line of the data set and where its row is to end."""

    line: str | bytes
    fate: str = EXPLAINED


def row(**content: Any) -> str:
    return json.dumps({"text": "a good film", "label": 1} | content)


def text(content: str, ascii: bool = True) -> str:
    return json.dumps({"text": content, "label": 1}, ensure_ascii=ascii)


ODD = {
    "null text": Odd(row(text=None), "null_text"),
    "no text": Odd('{"label": 1}', "null_text"),
    "empty text": Odd(text(""), "empty_text"),
    "white space": Odd(text(" \t\r\n\u00a0\u2003\u3000"), "empty_text"),
    "text is a number": Odd(row(text=5), "unreadable_row"),
    "text is a list": Odd(row(text=["good"]), "unreadable_row"),
    "half a surrogate pair": Odd('{"text": "good \\ud800 film"}', "unreadable_row"),
    "another encoding": Odd('{"text": "café"}'.encode("latin-1"), "unreadable_row"),
    "ten megabytes of one word": Odd(text("x" * 10_000_000), "text_too_long"),
    "400 KB of one word": Odd(text("x" * 400_000)),
    "100,000 words of one character": Odd(text("a i " * 50_000)),
    "special tokens only": Odd(text("[CLS] [SEP] [PAD]")),
    "padding only": Odd(text("[PAD] [PAD]")),
    "the mask": Odd(text("[MASK] [UNK]")),
    "unknown words only": Odd(text("電影 zxqj", ascii=False)),
    "NUL": Odd(text("\0")),
    "NUL inside": Odd(text("good\0film")),
    "control characters only": Odd(text("\x01\x02\x7f\x85")),
    "nothing that is seen": Odd(text("\u200b\u200d\ufeff\u2060", ascii=False)),
    "line separators": Odd(text("good\u2028film\u2029bad\x85dull", ascii=False)),
    "right to left": Odd(text("\u202eسيئ جدا\u202c good טוב מאוד", ascii=False)),
    "combining characters": Odd(text("g\u0301\u0327\u0308ood " + "e" + "\u0301" * 300, ascii=False)),
    "emoji": Odd(text("👩‍👩‍👧‍👦🏳️‍🌈 good 🎬👍🏽", ascii=False)),
    "emoji as a surrogate pair": Odd(text("good 👍")),
    "no characters": Odd(text("\ufffe\uffff\U0010ffff", ascii=False)),
    "punctuation only": Odd(text("...!?")),
    "markup": Odd(text("<script>alert(1)</script> & <br /><br />")),
    "duplicate id": Odd(row(id="400 KB of one word"), "duplicate_id"),
    "null id": Odd(row(id=None), "null_id"),
    "empty id": Odd(row(id=""), "null_id"),
    "id is a number": Odd(row(id=12345)),
    "id is a fraction": Odd(row(id=1.5), "unreadable_row"),
    "id is a truth": Odd(row(id=True), "unreadable_row"),
    "id is an object": Odd(row(id={"a": 1}), "unreadable_row"),
    "id is a list": Odd(row(id=["a"]), "unreadable_row"),
    "id of odd characters": Odd(row(id="../é\n\t\"'🎬\0")),
    "no label": Odd('{"text": "good"}'),
    "null label": Odd(row(label=None)),
    "negative label": Odd(row(label=-1)),
    "whole fraction as label": Odd(row(label=1.0)),
    "label in quotes": Odd(row(label="1")),
    "label is NaN": Odd('{"text": "good", "label": NaN}'),
    "label is a list": Odd(row(label=[1]), "bad_label"),
    "label is an object": Odd(row(label={}), "bad_label"),
    "more keys": Odd(row(stars=5, nested={"a": [1]})),
    "no object": Odd('["good", 1]', "unreadable_row"),
    "a word": Odd('"good"', "unreadable_row"),
    "no JSON": Odd("{broken", "unreadable_row"),
    "deep": Odd('{"text": ' + "[" * 20_000, "unreadable_row"),
    **{f"good {i}": Odd(row()) for i in range(6)},
}


NO_CLASSES = {  # which are no matter of their rows: labels are the classes of another model, or no classes
    "7": "7",
    "0.5": "'0.5'",
    '"good"': "'good'",
    "1e999": "'inf'",
    "9" * 4000: "'999999999",
}


def id_of(name: str) -> str | None:
    """What the row's id is in the results: the name here, unless the row has its own or cannot be read."""
    try:
        record = json.loads(ODD[name].line)
        found = record.get("id", name)
    except (ValueError, AttributeError, RecursionError):
        return None
    return str(found) if type(found) in (str, int) else None


def data_set() -> bytes:
    lines = []
    for name, (line, _) in ODD.items():
        data = line if isinstance(line, bytes) else line.encode()
        if data.startswith(b'{"') and b'"id":' not in data:
            data = b'{"id": ' + json.dumps(name).encode() + b", " + data[1:]
        lines.append(data)
    return b"\n\n".join(lines) + b"\n \n"  # blank lines are no rows


class Ended(NamedTuple):
    """How the one run over all of it ended."""

    code: int
    command: list[str]
    run: Path
    explained: list[dict[str, Any]]
    quarantined: list[dict[str, Any]]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory, tiny_models: dict[str, Path]) -> Ended:
    folder = tmp_path_factory.mktemp("odd é 100%")
    data, run = folder / "bad #1?.jsonl", folder / ".." / folder.name / "a run, 100% é #1? &c=d" / "run"
    data.write_bytes(data_set())
    command = ["--dataset", str(data), "--model", str(tiny_models["distilbert"]), "--run", str(run)]
    command += ["--max-length", "32", "--chunk-rows", "16", "--actors", "1", "--batch-tokens", "1024"]
    code = explain.main(command)
    store = RunStore(str(run))
    return Ended(
        code,
        command,
        run,
        [row for table in store.results.each() for row in table.to_pylist()],
        store.results.quarantined().to_pylist(),
    )


def test_bad_rows_are_exit_code_3_and_every_row_ends_once(ended: Ended) -> None:
    assert ended.code == 3
    assert len(ended.explained) + len(ended.quarantined) == len(ODD)
    ids = [row["id"] for row in ended.explained]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", ODD)
def test_each_row_ends_where_it_should(ended: Ended, name: str) -> None:
    position = list(ODD).index(name)
    place = (position // 16, position % 16)
    faults = {(row["chunk"], row["position"]): row for row in ended.quarantined}
    if ODD[name].fate != EXPLAINED:
        fault = faults[place]
        assert (fault["reason"], fault["id"]) == (ODD[name].fate, id_of(name))
        assert len(fault["detail"].splitlines()) == 1
        return
    assert place not in faults
    (found,) = (row for row in ended.explained if row["id"] == id_of(name))
    numbers = [*found["attributions"], *found["probabilities"], found["delta"], found["error_estimate"]]
    assert np.isfinite(numbers).all()
    assert len(found["tokens"]) == len(found["attributions"]) <= 32


def test_what_only_the_network_cannot_see_has_no_attribution(ended: Ended) -> None:
    found = {row["id"]: row for row in ended.explained}
    for name in ("special tokens only", "NUL", "nothing that is seen"):
        assert set(found[name]["tokens"]) <= {"[CLS]", "[SEP]", "[PAD]"}
        assert np.abs(found[name]["attributions"]).max() == 0


def test_a_place_with_odd_characters_is_taken_literally(ended: Ended) -> None:
    assert sorted(path.name for path in ended.run.parent.parent.iterdir()) == [
        "a run, 100% é #1? &c=d",
        "bad #1?.jsonl",
    ]


@pytest.mark.parametrize("job", [verify, aggregate, report])
def test_the_other_jobs_take_such_a_run_too(ended: Ended, job: Any) -> None:
    assert job.main([str(ended.run)]) == 0


def test_the_same_command_again_finds_everything_done(ended: Ended) -> None:
    stamps = {path: path.stat().st_mtime_ns for path in ended.run.rglob("*.parquet")}
    assert explain.main(ended.command) == 3
    assert {path: path.stat().st_mtime_ns for path in ended.run.rglob("*.parquet") if path in stamps} == stamps


@pytest.mark.parametrize("label", NO_CLASSES)
def test_labels_that_are_no_classes_start_nothing(label: str, tmp_path: Path, tiny_models, capsys) -> None:
    """Whether they say something else than the classes is for a person to decide, not for each row."""
    (tmp_path / "rows.jsonl").write_text(
        '{"text": "good", "label": 1}\n' * 2 + f'{{"text": "bad", "label": {label}}}\n'
    )
    command = ["--dataset", str(tmp_path / "rows.jsonl"), "--model", str(tiny_models["distilbert"])]
    command += ["--max-length", "32", "--run", str(tmp_path / "run")]
    assert explain.main(command) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: the labels of rows.jsonl are 1 (2 rows), ")
    assert NO_CLASSES[label] in line
    assert "(1 row)" in line
    assert "say which is which, such as --label-map" in line
    assert not (tmp_path / "run").exists()
