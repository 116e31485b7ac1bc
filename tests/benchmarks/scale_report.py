"""How a run scales: the measured tables, and the same for a billion reviews on paper, computed from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# The case on paper.
REVIEWS, GPUS = 1_000_000_000, 1000
REVIEWS_PER_GPU_S = 100.0  # an assumption; it enters the time of a chunk and nothing else
_PLANS = ((1, 256), (1, 4096), (25, 4096))  # runs of equal size, rows in a chunk

# Amazon S3, standard class, us-east-1, list price in dollars.
_PUT_OR_LIST, _GET = 0.005 / 1000, 0.0004 / 1000
_READ = 2  # requests to read a file: its size, its bytes
_LISTED = 1000  # names in an answer
_COLOURS = ("#009E73", "#D55E00", "#0072B2", "#CC79A7")  # of Okabe & Ito 2008


def paper(result: Mapping[str, Any], runs: int, chunk_rows: int) -> dict[str, float]:
    """What a billion reviews on a thousand GPUs take of each run's driver, and of the object store in all.

    Args:
        result: what was measured.
        runs: into how many runs of equal size the reviews are split; they run one after the other on all GPUs.
        chunk_rows: rows in a chunk.
    """
    rows = REVIEWS / runs
    chunks = rows / chunk_rows
    chunk_s = chunk_rows / REVIEWS_PER_GPU_S
    small, large = result["dispatch"][-2], result["dispatch"][-1]
    per_chunk = max(0.0, (large["peak_memory"] - small["peak_memory"]) / (large["chunks"] - small["chunks"]))
    first, last = result["files"][0], result["files"][-1]
    if len(result["files"]) > 1:
        per_chunk += max(0.0, (last["peak_memory"] - first["peak_memory"]) / (last["chunks"] - first["chunks"]))
    remote = result["object_store"][-1]
    pages = chunks / _LISTED
    # An actor reads the chunk and run.json and writes the result; the driver writes the chunk and reads the footer.
    writes, reads = 2 * chunks, 3 * _READ * chunks
    return {
        "chunks": chunks,
        "needed_per_s": GPUS / chunk_s,
        "list_s": pages * remote["list"] / max(1.0, remote["chunks"] / _LISTED),
        "footers_s": chunks * remote["footers"] / remote["chunks"],
        "memory": small["peak_memory"] + per_chunk * chunks,
        "memory_preparing": small["peak_memory"] + result["seen"]["bytes_per_row"] * rows,
        "preparing_s": rows / result["prepare"]["rows_per_s"],
        "requests": runs * (writes + reads + 3 * pages),
        "dollars": runs * (_PUT_OR_LIST * (writes + 3 * pages) + _GET * reads),
    }


def markdown(result: Mapping[str, Any]) -> str:
    """The tables, as the README shows them."""
    about = result["machine"]
    lines = [
        f"{about['cpu']}, {about['cores']} cores, {about['date']}, ray {about['ray']}; medians of up to "
        f"{result['rounds']} rounds, load {result['load'][0]:.1f} at the start (others' work).",
        "",
        *_table(
            ("chunks that take no time, 8 actors", "chunks/s", "driver's CPU, ms a chunk", "its peak memory, MiB"),
            [
                (
                    f"{r['chunks']:,.0f}",
                    f"{r['chunks_per_s']:,.0f}",
                    f"{1e3 * r['cpu_s'] / r['chunks']:.2f}",
                    f"{r['peak_memory'] / 2**20:.0f}",
                )
                for r in result["dispatch"]
            ],
        ),
        *_table(
            ("sleeping actors", "a chunk takes", "chunks/s", "ideal time / real time"),
            [
                (f"{r['actors']:.0f}", f"{r['seconds']:g} s", f"{r['chunks_per_s']:.1f}", f"{r['efficiency']:.1%}")
                for r in result["efficiency"]
            ],
        ),
        *_table(
            ("results on a local disk", "list them, s", "read all footers, s", "check them, s", "`jobs.status`, s"),
            [
                (
                    f"{r['chunks']:,}",
                    f"{r['list']:.2f}",
                    f"{r['footers']:.1f}",
                    f"{r['check']:.2f}",
                    f"{r['status']:.1f}" if "status" in r else "",
                )
                for r in result["files"]
            ],
        ),
        _object_store(result["object_store"]),
        "",
        f"On paper, from these figures: {REVIEWS:,} reviews on {GPUS:,} GPUs, each {REVIEWS_PER_GPU_S:g} reviews/s:",
        "",
        *_table(_PAPER_HEADINGS, [_paper_row(result, *plan) for plan in _PLANS]),
    ]
    return "\n".join(lines).strip()


_PAPER_HEADINGS = (
    "runs × `--chunk-rows`",
    "chunks a run",
    "chunks/s needed",
    "listing",
    "all footers",
    "driver's memory",
    "while it prepares",
    "preparing one run, to a local disk",
    "S3 requests in all",
)


def _paper_row(result: Mapping[str, Any], runs: int, chunk_rows: int) -> tuple[str, ...]:
    found = paper(result, runs, chunk_rows)
    return (
        f"{runs} × {chunk_rows:,}",
        f"{found['chunks']:,.0f}",
        f"{found['needed_per_s']:.0f}",
        f"{found['list_s']:.1f} s",
        f"{found['footers_s'] / 60:.1f} min",
        f"{found['memory'] / 1e9:.1f} GB",
        f"{found['memory_preparing'] / 1e9:.1f} GB",
        f"{found['preparing_s'] / 3600:.1f} h",
        f"{found['requests'] / 1e6:.1f} million, ${found['dollars']:.0f}",
    )


def _object_store(records: Sequence[Mapping[str, float]]) -> str:
    alone, together = (1e3 * each["footers"] / each["chunks"] for each in records)
    return (
        f"On an object store that answers after 20 ms, a footer takes {alone:.0f} ms "
        f"({records[0]['requests_per_footer']:.0f} requests) one after the other, and {together:.1f} ms "
        f"with {records[1]['readers']} at a time, as the driver reads them."
    )


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [_line(headings), _line(["---", *["---:"] * (len(headings) - 1)]), *map(_line, rows), ""]


def _line(values: Sequence[str]) -> str:
    return "| " + " | ".join(values) + " |"


def plot(result: Mapping[str, Any], path: Path) -> None:
    """The rate of dispatch against the number of chunks, and the efficiency against the number of actors."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    records = result["dispatch"]
    left.plot([r["chunks"] for r in records], [r["chunks_per_s"] for r in records], "o-", color="#0072B2")
    left.axhline(200, color="grey", linestyle=":", linewidth=1, label="goal: 200")
    left.set(xscale="log", xlabel="chunks of the run", ylabel="chunks/s given out", ylim=(0, None))
    left.set_title("Chunks that take no time", loc="left", fontsize=11)
    records = result["efficiency"]
    for seconds, colour, marker in zip(sorted({r["seconds"] for r in records}), _COLOURS, "Ds^o", strict=False):
        found = [r for r in records if r["seconds"] == seconds]
        right.plot(
            [r["actors"] for r in found],
            [r["efficiency"] for r in found],
            marker=marker,
            color=colour,
            label=f"chunks of {seconds:g} s",
        )
    right.axhline(0.95, color="grey", linestyle=":", linewidth=1, label="goal: 95%")
    lowest = min(0.8, min(r["efficiency"] for r in records) - 0.02)
    right.set_xscale("log", base=2)
    sizes = sorted({r["actors"] for r in records})
    right.set_xticks(sizes, labels=[f"{size:.0f}" for size in sizes])
    right.minorticks_off()
    right.yaxis.set_major_locator(matplotlib.ticker.MultipleLocator(0.05))
    right.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1.0, decimals=0))
    right.set(xlabel="sleeping actors", ylabel="ideal time / real time", ylim=(lowest, 1.01))
    right.set_title("Chunks that take a while", loc="left", fontsize=11)
    for axis in (left, right):
        axis.grid(True, color="0.9", linewidth=0.6)
        axis.legend(frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)
