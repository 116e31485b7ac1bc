"""An export is all of a run, or none; and nothing else is overwritten."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from ig_worker import schema
from ig_worker.errors import RunDamagedError, UsageError
from ig_worker.insight.export import hf
from ig_worker.insight.export.write import FORMATS, write_export
from jobs import export as job
from tests.insight.conftest import make_row
from tests.insight.export_runs import (
    ODD,
    Write,
    a_row,
    place_of,
    read_hf,
    read_jsonl,
    rows_of,
    two_targets,
)


def test_rows_in_quarantine_are_left_out_and_told(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    store = write([a_row(id="a"), "lost", a_row(id="b")], ["gone"], [*two_targets("c")], chunks=5)
    assert job.main([store.uri, "--format", "jsonl"]) == 0
    assert [(row["id"], row["text"]) for row in read_jsonl(store)] == [
        ("a", "text of a"),
        ("b", "text of b"),
        ("c", "text of c"),
        ("c", "text of c"),
    ]
    said = capsys.readouterr().out
    assert "rows         4, of 3 texts" in said
    assert "2 quarantined rows" in said
    assert "2 chunks that are not explained yet" in said


@pytest.mark.parametrize("format", FORMATS)
def test_an_export_does_not_depend_on_the_chunks(write: Write, format: str) -> None:
    rows = [row for place in range(9) for row in two_targets(f"r{place}", text=ODD[place])]
    cuts = {"one": [rows], "three": [rows[:4], rows[4:6], rows[6:]], "many": [rows[i : i + 2] for i in range(0, 18, 2)]}
    stores = [write(*chunks, name=name) for name, chunks in cuts.items()]
    for store in stores:
        write_export(store, format)
    if format == "hf":
        assert len({str(read_hf(store).to_pylist()) for store in stores}) == 1
    else:
        files = sorted(path.name for path in place_of(stores[0], format).glob("attributions*"))
        for name in files:
            assert len({(place_of(store, format) / name).read_bytes() for store in stores}) == 1


@pytest.mark.parametrize("format", FORMATS)
def test_a_killed_export_is_no_export_and_the_same_command_makes_it(write: Write, format: str) -> None:
    rows = rows_of(schema.CLASSES, 12)
    store, other = (write(rows[:4], rows[4:8], rows[8:], name=name) for name in ("run", "other"))
    write_export(store, format)  # an earlier one, which is not to be taken for the new one either
    code = "import os, sys; from ig_worker.insight.export.write import RunStore, write_export; "
    code += "write_export(RunStore(sys.argv[1]), sys.argv[2], progress=lambda done, total: done > 1 and os._exit(9))"
    assert subprocess.run([sys.executable, "-c", code, store.uri, format], check=False).returncode == 9
    left = {path.name for path in place_of(store, format).iterdir()}
    assert {name for name in left if not name.startswith((".tmp-", "data-"))} == {"export.json"}
    assert json.loads((place_of(store, format) / "export.json").read_text())["state"] == "writing"
    for one in (store, other):
        write_export(one, format)
    files = {path.name: path.read_bytes() for path in place_of(store, format).iterdir() if path.name != "export.json"}
    assert files == {name: (place_of(other, format) / name).read_bytes() for name in files}
    assert json.loads((place_of(store, format) / "export.json").read_text())["state"] == "complete"


@pytest.mark.parametrize("format", FORMATS)
def test_an_interrupted_export_leaves_no_file(write: Write, format: str) -> None:
    store = write([a_row(id="a")], [a_row(id="b")])

    def interrupt(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_export(store, format, progress=interrupt)
    assert [path.name for path in place_of(store, format).iterdir()] == ["export.json"]


def test_a_folder_of_something_else_is_refused_and_overwrite_spares_its_files(write: Write, tmp_path: Path) -> None:
    store, out = write([a_row()]), tmp_path / "out"
    out.mkdir()
    write_export(store, "csv", str(out))  # an empty folder will do
    write_export(store, "csv", str(out))
    with pytest.raises(UsageError, match=r"holds an export as csv; expected .* as jsonl; give another --out"):
        write_export(store, "jsonl", str(out))
    (out / "export.json").write_text("[]")
    (out / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty, and no export's"):
        write_export(store, "csv", str(out))
    write_export(store, "csv", str(out), overwrite=True)
    assert (out / "mine.txt").read_text() == "mine"
    (tmp_path / "full" / "folder").mkdir(parents=True)
    with pytest.raises(UsageError, match="is not empty"):
        write_export(store, "csv", str(tmp_path / "full"))


def test_what_a_user_gets_wrong_is_told_in_one_line(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    store = write([a_row()])
    for words in (
        [f"{store.uri}-none", "--format", "csv"],
        [store.uri, "--format", "csv", "--out", f"{store.uri}/rows.csv"],
        [store.uri, "--format", "csv", "--out", "s4://nowhere"],
        [store.uri, "--format", "csv", "--out", f"{store.uri}/run.json"],
        [store.uri, "--format", "csv", "--out", store.uri],
        [write(["lost"], name="empty").uri, "--format", "hf"],
    ):
        assert job.main(words) == 1
        assert len(capsys.readouterr().err.strip().splitlines()) == 1, words
    with pytest.raises(SystemExit):
        job.main([store.uri, "--format", "cvs"])
    assert "did you mean csv?" in capsys.readouterr().err


def test_rows_that_are_not_of_their_input_are_no_export(write: Write) -> None:
    store = write([a_row(id="a"), a_row(id="b")])
    texts = pa.Table.from_pylist([{"id": id, "text": "x", "label": 1} for id in "ba"], schema=schema.INPUT)
    store.chunks.write(0, texts, {})
    with pytest.raises(RunDamagedError, match=r"chunk 00000 .* holds other rows than its input"):
        write_export(store, "csv")


def test_large_runs_are_several_files_in_order(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(schema.CLASSES, 40)
    store = write(*(rows[start : start + 5] for start in range(0, 40, 5)))
    monkeypatch.setattr(hf, "MOST_BYTES", 4_000)
    write_export(store, "hf")
    sizes = [path.stat().st_size for path in sorted(place_of(store, "hf").glob("data-*.arrow"))]
    assert len(sizes) > 2
    assert read_hf(store).column("id").to_pylist() == [row["id"] for row in rows]
    monkeypatch.undo()
    write_export(store, "hf")  # which leaves none of them
    assert [path.name for path in place_of(store, "hf").glob("data-*")] == ["data-00000.arrow"]


@pytest.mark.parametrize("format", FORMATS)
def test_memory_does_not_grow_with_the_run(write: Write, format: str) -> None:
    rows = [make_row("[CLS] " + "good " * 500 + "[SEP]", id=f"r{place}") for place in range(50)]

    def peak(chunks: int) -> int:
        store = write(
            *([{**row, "id": f"{i}-{row['id']}"} for row in rows] for i in range(chunks)), name=f"run-{chunks}"
        )
        seen: list[int] = []
        write_export(store, format, progress=lambda done, total: seen.append(pa.total_allocated_bytes()))
        return max(seen)

    assert peak(12) < 1.5 * peak(3)
