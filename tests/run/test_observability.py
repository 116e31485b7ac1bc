"""What Prometheus is told, scraped from a real node of Ray, the dashboard that asks for it, and the actors' logs."""

from __future__ import annotations

import json
import re
import urllib.request
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from ig_worker.insight.tables.aggregate import aggregate
from ig_worker.run import logs
from ig_worker.run.chunk.records import DELTA_BOUNDS
from ig_worker.run.config import ExplainConfig
from ig_worker.run.dispatch import explain_actor
from ig_worker.run.dispatch.cluster import kept
from ig_worker.run.dispatch.metrics import METRICS, exported_names
from ig_worker.run.later_config import ApplyConfig, EvaluateConfig
from ig_worker.run.steps.evaluate import measure_faithfulness
from ig_worker.run.steps.explain import explain_run
from ig_worker.run.store.run_store import RunStore
from tests.run.clusters import one_node

DASHBOARD = json.loads((Path(__file__).parents[2] / "jobs" / "grafana.json").read_text())
SAMPLE = re.compile(r"^(ray_ig_worker_\w+)\{(.*)\} (\S+)$")
RUN = "é imdb? 1"  # which Prometheus sees in ASCII
TAG = "? imdb? 1"
LABELS = ("run", "step", "outcome", "le")
Series = tuple[str, frozenset[tuple[str, str]]]


def scrape(url: str) -> dict[Series, float]:
    """Our series, summed over what Ray adds of its own, such as the process."""
    found: dict[Series, float] = {}
    for line in urllib.request.urlopen(url, timeout=10).read().decode().splitlines():
        if match := SAMPLE.match(line):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', match[2]))
            key = match[1], frozenset((name, labels[name]) for name in LABELS if name in labels)
            found[key] = found.get(key, 0.0) + float(match[3])
    return found


class FailsOnce(explain_actor.Actor):
    """Raises at the first chunk that it is given."""

    _failed = False

    def explain(self, *arguments: Any) -> Any:
        if not self._failed:
            self._failed = True
            raise ValueError("not this time")
        return super().explain(*arguments)


@dataclass(frozen=True)
class Told:
    """A run, what its node tells Prometheus after it, and the lines of JSON that its actors wrote."""

    store: RunStore
    series: dict[Series, float]
    lines: list[dict[str, str]]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, tiny_models: dict[str, Path]) -> Told:
    """From a process of its own, as a night has one: tests before this one have connected to Ray, too."""
    folder = tmp_path_factory.mktemp("metrics")
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        series, lines = process.submit(work, folder, tiny_models["distilbert"]).result()
    return Told(RunStore(str(folder / RUN)), series, lines)


def work(folder: Path, model: Path) -> tuple[dict[Series, float], list[dict[str, str]]]:
    """A run of 12 rows in 4 chunks, 2 of them empty, aggregated and evaluated, and what its node says after it."""
    import ray

    rows = [{"id": f"r{i}", "text": "" if i in (3, 7) else "good film", "label": 1} for i in range(12)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with one_node(cpus=1) as address:
        config = ExplainConfig(
            dataset=str(folder / "rows.jsonl"), model=str(model), address=address, chunk_rows=3,
            max_length=16, method="gausslegendre", n_steps=5, batch_tokens=2048, actors="1", audit=1.0,
        )  # fmt: skip
        with kept():
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(explain_actor, "Actor", FailsOnce)
                patch.setattr(logs, "_settings", {"IG_WORKER_LOG_LEVEL": "info", "IG_WORKER_LOG_FORMAT": "json"})
                explain_run(str(folder / RUN), config)
            aggregate(RunStore(str(folder / RUN)), config=ApplyConfig(address=address, actors="1"))
            measure_faithfulness(str(folder / RUN), EvaluateConfig(share=1.0, baselines_share=0.0, address=address))
        ray.init(address=address, logging_level="error", log_to_driver=False)
        (node,) = ray.nodes()
        written = [
            path.read_text() for path in Path(ray._private.worker._global_node.get_logs_dir_path()).glob("worker-*.err")
        ]
        ray.shutdown()
        series = scrape(f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics")
    lines = [json.loads(line) for text in written for line in text.splitlines() if line.startswith("{")]
    return series, lines


def value(series: dict[Series, float], name: str, **labels: str) -> float:
    return series["ray_ig_worker_" + name, frozenset({"run": TAG, **labels}.items())]


def test_counts_arrive_to_the_last_one(told: Told) -> None:
    store, series = told.store, told.series
    explained = [row for table in store.results.each(["delta", "evaluations"]) for row in table.to_pylist()]
    assert value(series, "reviews_total", step="explain") == len(explained) == 10
    assert value(series, "quarantined_total", step="explain") == 2
    assert value(series, "evaluations_total", step="explain") == sum(row["evaluations"] for row in explained)
    for step in ("explain", "audit", "evaluate"):
        assert value(series, "chunks_total", step=step) == 4
        assert value(series, "chunk_seconds_count", step=step) == 4
    assert value(series, "failed_attempts_total", step="explain", outcome="error") == 1
    assert value(series, "abs_delta_total", le="+Inf") == 10
    for bound in DELTA_BOUNDS:
        at_most = sum(abs(row["delta"]) <= bound for row in explained)
        assert (
            series.get(("ray_ig_worker_abs_delta_total", frozenset({"run": TAG, "le": str(bound)}.items())), 0)
            == at_most
        )


def test_what_is_over_has_no_actors(told: Told) -> None:
    for step in ("explain", "audit", "evaluate"):
        for name in ("chunks_open", "actors_ready", "actors_starting"):
            assert told.series.get((f"ray_ig_worker_{name}", frozenset({"run": TAG, "step": step}.items())), 0) == 0


def test_actors_write_lines_with_run_and_chunk(told: Told) -> None:
    done = [line for line in told.lines if line["message"].startswith("explained ")]
    assert sorted(line["chunk"] for line in done) == [f"chunk-{i:05d}" for i in range(4)]
    assert {(line["run"], line["level"], line["logger"]) for line in done} == {
        (RUN, "info", "ig_worker.run.dispatch.explain_actor")
    }


def queries() -> list[str]:
    panels = [inner for panel in DASHBOARD["panels"] for inner in [panel, *panel.get("panels", [])]]
    asked = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    return asked + [variable["definition"] for variable in DASHBOARD["templating"]["list"] if "definition" in variable]


def tags_in(query: str) -> set[str]:
    """What a query groups or selects by."""
    grouped = [part.split(",") for part in re.findall(r"\bby ?\(([^)]*)\)", query)]
    selected = [re.findall(r"(\w+) ?[=!]", part) for part in re.findall(r"\{([^}]*)\}", query)]
    return {tag.strip() for part in [*grouped, *selected] for tag in part}


def test_the_dashboard_asks_for_metrics_and_tags_that_there_are() -> None:
    tags = {text: metric.tags for metric_name, metric in METRICS.items() for text in metric.exported(metric_name)}
    for query in queries():
        names = set(re.findall(r"ray_\w+", query))
        assert names, query
        assert names <= tags.keys(), query
        known = {tag for name in names for tag in tags[name]}
        assert tags_in(query) <= (known | {"le"} if "_bucket" in query else known), query


def test_the_dashboard_shows_every_metric() -> None:
    shown = set(re.findall(r"ray_\w+", " ".join(queries())))
    for name, metric in METRICS.items():
        assert shown & set(metric.exported(name)), name
    assert len(exported_names()) == len(set(exported_names()))


def test_panels_do_not_overlap_and_have_ids_of_their_own() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        grid = panel["gridPos"]
        cells = {(grid["x"] + i, grid["y"] + j) for i in range(grid["w"]) for j in range(grid["h"])}
        assert not cells & taken, panel["title"]
        assert grid["x"] + grid["w"] <= 24, panel["title"]
        taken |= cells
