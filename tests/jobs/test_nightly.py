"""Nights, one after the other: what goes well, what is caught, and who is told; and the job on a real cluster."""

from __future__ import annotations

import datetime
import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from ig_worker.insight.night import run as night_module
from ig_worker.insight.night.run import run_night
from ig_worker.insight.night.settings import Night, NightConfig
from ig_worker.insight.thresholds import Thresholds
from ig_worker.run.config import ExplainConfig
from ig_worker.run.deadline import Deadline
from ig_worker.run.dispatch.executor import InProcess
from ig_worker.run.steps.explain import explain_run
from ig_worker.run.store.run_store import RunStore
from jobs import nightly
from tests.run.clocks import Clock
from tests.run.clusters import one_node
from tests.run.in_process import Shared, explain_here, explain_run_here

DAY = datetime.date(2026, 11, 24)
ROWS = 24
LIMITS = Thresholds(min_accuracy=0.9, max_quarantined=0.1, max_drift=0.2)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Explain in this process: a night is the same whoever does its work."""
    monkeypatch.setattr(night_module, "explain_run", explain_run_here)


@pytest.fixture(scope="module")
def explain(tiny_models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> ExplainConfig:
    """Rows whose labels are what the network says, so that it is always right."""
    folder = tmp_path_factory.mktemp("data")
    words = "good great joy very bad dull awful boring film plot".split()
    texts = [" ".join(words[(i * k) % len(words)] for k in range(1, 6)) for i in range(ROWS)]
    write_rows(folder / "rows.jsonl", texts, [0] * ROWS)
    config = ExplainConfig(
        dataset=str(folder / "rows.jsonl"), model=str(tiny_models["distilbert"]), chunk_rows=8,
        max_length=16, method="gausslegendre", n_steps=5, batch_tokens=2048, actors="1",
    )  # fmt: skip
    explain_here(folder / "run", config, Shared)
    predictions = RunStore(str(folder / "run")).results.each(["prediction"])
    labels = [label for table in predictions for label in table.column("prediction").to_pylist()]
    assert set(labels) == {0, 1}
    write_rows(folder / "rows.jsonl", texts, labels)
    return config


def write_rows(path: Path, texts: list[str], labels: list[int]) -> None:
    rows = ({"id": f"r{i}", "text": text, "label": labels[i]} for i, text in enumerate(texts))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def spoiled_model(tiny_models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The network with the head of one class flipped."""
    import h5py

    place = Path(shutil.copytree(tiny_models["distilbert"], tmp_path_factory.mktemp("spoiled") / "model"))
    with h5py.File(place / "tf_model.h5", "r+") as weights:
        found: list[Any] = []
        weights.visititems(lambda name, item: found.append(item) if name.endswith("classifier/kernel:0") else None)
        kernel = next(item for item in found if item.shape[-1] == 2)
        kernel[:, 1] = -kernel[:, 1]
    return str(place)


class Listener:
    """An HTTP server that keeps what it is told."""

    def __init__(self) -> None:
        told = self.told = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                told.append(("GET", self.path, ""))
                self.send_response(200)
                self.end_headers()

            def do_POST(self) -> None:
                told.append(("POST", self.path, self.rfile.read(int(self.headers["Content-Length"])).decode()))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.server.shutdown()
    made.server.server_close()


def night(
    folder: Path,
    explain: ExplainConfig,
    days: int = 0,
    limits: Thresholds = LIMITS,
    clock: Deadline | None = None,
    **changes: Any,
) -> Night:
    config = NightConfig(**{"runs": str(folder), "line": "imdb", "evaluate": False} | changes)
    return run_night(config, explain, limits, lambda _: None, DAY + datetime.timedelta(days), deadline=clock)


@pytest.mark.usefixtures("here")
def test_a_regression_is_caught_and_named(tmp_path: Path, explain, spoiled_model: str, listener: Listener) -> None:
    urls = {"webhook": f"{listener.url}/hook", "heartbeat": f"{listener.url}/beat"}
    first = night(tmp_path, explain, **urls)
    assert (first.run, first.exit_code, first.reasons) == ("imdb-2026-11-24", 0, [])
    second = night(tmp_path, explain, days=1, **urls)
    assert (second.exit_code, second.comparison.drift, second.comparison.flips) == (0, 0.0, 0)
    third = night(tmp_path, replace(explain, model=spoiled_model), days=2, **urls)
    assert third.exit_code == 6
    assert any("min_accuracy" in reason for reason in third.reasons)
    assert any(reason.startswith("class ") for reason in third.reasons)
    summary = RunStore(str(tmp_path / "imdb-2026-11-26")).summary.read()
    assert (summary["exit_code"], summary["night"]["run"]) == (6, "imdb-2026-11-26")
    assert "min_accuracy" in summary["reason"]
    assert (
        (tmp_path / "imdb-2026-11-26" / "summary.txt").read_text().startswith("night imdb-2026-11-26 FAILED (exit 6)")
    )
    assert [path for _, path, _ in listener.told] == ["/hook", "/beat"] * 3
    assert "FAILED" in json.loads(listener.told[4][2])["text"]


@pytest.mark.usefixtures("here")
def test_a_deadline_ends_a_night_cleanly_and_the_next_goes_on_with_it(
    tmp_path: Path, explain, listener, monkeypatch
) -> None:
    clock = Clock()

    class Slow(Shared):
        """An actor that takes ten seconds for a chunk."""

        def explain(self, *arguments: Any) -> Any:
            clock.pass_(10)
            return super().explain(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(night_module, "explain_run", partial(explain_run, executor=InProcess(Slow)))
        stopped = night(tmp_path, explain, deadline=15.0, clock=Deadline(15.0, clock=clock), heartbeat=listener.url)
    assert stopped.exit_code == 4
    assert len(list((tmp_path / "imdb-2026-11-24" / "attributions").iterdir())) == 2
    assert "--deadline" in stopped.reasons[0]
    assert listener.told == [], "a dead-man's switch has to go off"
    assert night(tmp_path, explain, days=1, unfinished="anew").run == "imdb-2026-11-25"
    shutil.rmtree(tmp_path / "imdb-2026-11-25")
    resumed = night(tmp_path, explain, days=1)
    assert (resumed.run, resumed.exit_code) == ("imdb-2026-11-24", 0)


@pytest.mark.usefixtures("here")
def test_nobody_who_does_not_listen_can_spoil_a_night(tmp_path: Path, explain, listener: Listener) -> None:
    closed = listener.url.replace(str(listener.server.server_port), "9")
    done = night(tmp_path, explain, webhook=closed, heartbeat="file:///etc/passwd")
    assert done.exit_code == 0


@pytest.mark.usefixtures("here")
def test_old_runs_go_and_the_last_good_one_stays(tmp_path: Path, explain, spoiled_model: str) -> None:
    done = night(tmp_path, explain, keep=1)
    for day in (1, 2):
        bad = night(tmp_path, replace(explain, model=spoiled_model), days=day, keep=1)
        assert (bad.exit_code, bad.removed) == (6, [])
    good = night(tmp_path, explain, days=3, keep=1, limits=Thresholds())
    assert good.removed == ["imdb-2026-11-24", "imdb-2026-11-25", "imdb-2026-11-26"]
    assert [path.name for path in tmp_path.iterdir()] == [good.run]
    assert done.run not in {path.name for path in tmp_path.iterdir()}


@pytest.mark.usefixtures("here")
def test_a_night_of_another_network_on_an_unfinished_run_begins_anew(tmp_path: Path, explain, tiny_models) -> None:
    night(tmp_path, explain)
    (tmp_path / "imdb-2026-11-24" / "attributions" / "chunk-00001.parquet").unlink()
    store = RunStore(str(tmp_path / "imdb-2026-11-24"))
    store.manifest.write({**store.manifest.existing(), "state": "stopped"})
    other = night(tmp_path, replace(explain, model=str(tiny_models["bert"])), limits=Thresholds())
    assert (other.run, other.exit_code) == ("imdb-2026-11-24-2", 0)


def test_the_job_reads_its_file_and_ends_with_the_nights_code(tmp_path: Path, explain, capsys) -> None:
    tables = {
        "night": {"runs": str(tmp_path / "runs"), "line": "imdb"},
        "evaluate": {"share": 0.9},
        "thresholds": {"min_accuracy": 1.0, "max_drift": 0.5},
        "explain": {name: getattr(explain, name) for name in ("dataset", "model", "chunk_rows", "max_length", "method")}
        | {"n_steps": 5, "actors": "1"},
    }
    lines = [
        f"[{name}]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in table.items()) for name, table in tables.items()
    ]
    (tmp_path / "night.toml").write_text("\n".join(lines))
    with one_node(cpus=2) as address:
        command = [str(tmp_path / "night.toml"), "--address", address]
        assert nightly.main([*command, "--deadline", "0.001"]) == 4
        assert "--deadline of 0.001 s has passed" in capsys.readouterr().out
        assert nightly.main(command) == 0
    told = capsys.readouterr().out
    assert "went well (exit 0)" in told
    assert "warning" not in told
    steps = [line[3:].split()[0] for line in told.splitlines() if line.startswith("== ")]
    assert steps == ["explain", "verify", "aggregate", "evaluate", "findings", "report"]
    assert "\nfaithful     comprehensiveness " in told
    assert (tmp_path / "runs" / f"imdb-{today()}" / "aggregates" / "faithfulness.parquet").exists()
    assert len(list((tmp_path / "runs").iterdir())) == 1, "the night that was stopped is the one that was finished"


def today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[nights]\n", "has 'nights'; expected tables among [night], [thresholds], [explain], [evaluate]"),
        (
            "[night]\nruns = 'r'\nline = 'x'\n[explain]\ndataset='demo'\nmodel='m'\n[evaluate]\nshare = 2.0\n",
            "--share is 2.0",
        ),
        ("night = 3\n", "has 'night'"),
        ("[night]\nline = 'x'\n", "--runs is missing"),
        ("[night]\nruns = 'r'\nline = 'x'\nkeep = 0\n[explain]\ndataset='demo'\nmodel='m'\n", "keep is 0"),
        ("[night]\nruns = 'r'\nline = 'a/b'\n[explain]\ndataset='demo'\nmodel='m'\n", "line is 'a/b'"),
        ("[night]\nruns = 'r'\nline = 'x'\n[thresholds]\nmin_f2 = 1\n[explain]\ndataset='demo'\nmodel='m'\n", "min_f2"),
        (
            "[night]\nruns = 'r'\nline = 'x'\nwebhook_env = 'NO_SUCH'\n[explain]\ndataset='demo'\nmodel='m'\n",
            "webhook_env names NO_SUCH, which is not set",
        ),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, capsys, content: str, message: str) -> None:
    (tmp_path / "night.toml").write_text(content)
    assert nightly.main([str(tmp_path / "night.toml")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_the_documented_example_is_read_and_has_every_key() -> None:
    text = (Path(nightly.__file__).parent / "nightly.toml").read_text()
    for config in (NightConfig, Thresholds):
        for name in config.__dataclass_fields__:
            assert f"\n{name} = " in text or f"\n# {name} = " in text, name
