"""Time the programs that `export` wrote, on a machine with JAX and without TensorFlow, captum in PyTorch beside them.

    python -m tests.benchmarks.replay DIR --json result.json

Checks every small program against TensorFlow's results, times every large one in float32, TF32 and bfloat16, and
extrapolates to 25,000 reviews with IMDB's lengths: the device's work alone, without the host's. PyTorch, transformers
and captum are used where they are installed. Give --evaluations: how many a review the adaptive engine spends is a
trained network's to say, and `speed` measures it; the exported weights are random.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import os
import re
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.weights import draw

PRECISIONS = ("float32", "tf32", "bfloat16")
REVIEWS = 25_000
N_STEPS = 50

# XLA may multiply float32 in TF32 where a product's precision is DEFAULT; HIGHEST is float32. CPUs know no TF32.
_XLA_PRECISION = {"float32": "HIGHEST", "tf32": "DEFAULT", "bfloat16": "DEFAULT"}
_PRODUCT = re.compile(
    r"^(?P<indent>\s*)(?P<result>%[\w#]+) = stablehlo\.(?P<kind>dot|dot_general) (?P<a>%[\w#]+), (?P<b>%[\w#]+)"
    r"(?P<middle>.*) : \((?P<ta>tensor<[^>]*xf32>), (?P<tb>tensor<[^>]*xf32>)\) -> (?P<tr>tensor<[^>]*f32>)$",
    re.MULTILINE,
)


def in_precision(text: str, precision: str) -> str:
    """A program's text with its matrix products in `precision`, everything else in float32.

    bfloat16 rounds the factors of a product and adds up in float32, as mixed precision does.
    """
    name = _XLA_PRECISION[precision]
    text = re.sub(r"precision = \[\w+, \w+\]", f"precision = [{name}, {name}]", text)
    return _PRODUCT.sub(_rounded, text) if precision == "bfloat16" else text


def _rounded(match: re.Match[str]) -> str:
    part = match.groupdict()
    low = {side: part[f"t{side}"].replace("f32", "bf16") for side in "ab"}
    stem = "%low_" + part["result"][1:]  # a name that begins with a digit must be a number
    lines = [f"{stem}_{side} = stablehlo.convert {part[side]} : ({part[f't{side}']}) -> {low[side]}" for side in "ab"]
    lines.append(
        f"{part['result']} = stablehlo.{part['kind']} {stem}_a, {stem}_b{part['middle']}"
        f" : ({low['a']}, {low['b']}) -> {part['tr']}"
    )
    return "\n".join(part["indent"] + line for line in lines)


class Player:
    """Compiles and runs programs of one folder on JAX's first device."""

    def __init__(self, folder: Path) -> None:
        import jax
        from jax.extend import backend

        self._folder = folder
        self._jax = jax
        self._client = backend.get_backend()
        self.device = jax.devices()[0]
        self._weights: dict[str, Any] = {}  # on the device, drawn once

    def compile(self, name: str, precision: str) -> Any:
        """The program `name`, ready to run."""
        from jax._src.interpreters import mlir
        from jaxlib import _jax
        from jaxlib.mlir import ir

        text = gzip.decompress((self._folder / f"{name}.mlir.gz").read_bytes()).decode()
        with mlir.make_ir_context():
            module = ir.Module.parse(in_precision(text, precision))
            devices = _jax.DeviceList((self.device,))
            return self._client.compile_and_load(module, devices, _jax.CompileOptions())

    def parameters(self, program: Mapping[str, Any]) -> list[Any]:
        """A program's arguments, stored or random, and the weights and constants that it reads, on the device."""
        random = np.random.default_rng(7)
        with np.load(self._folder / f"{program['name']}.npz") as stored:
            values = [
                stored[f"argument{i}"] if f"argument{i}" in stored else random.standard_normal(shape, np.float32)
                for i, (shape, _) in enumerate(program["arguments"])
            ]
            found = [self._jax.device_put(value, self.device) for value in values]
            return found + [self._captured(each, stored) for each in program["captured"]]

    def _captured(self, each: Mapping[str, Any], stored: Mapping[str, np.ndarray]) -> Any:
        if "constant" in each:
            return self._jax.device_put(stored[each["constant"]], self.device)
        name = each["weight"]
        if name not in self._weights:
            self._weights[name] = self._jax.device_put(draw(name, each["shape"]), self.device)
        return self._weights[name]

    def run(self, executable: Any, parameters: Sequence[Any]) -> list[Any]:
        """One run, to its end; arrays on the device."""
        results = [
            shards[0] for shards in executable.execute_sharded(parameters).disassemble_into_single_device_arrays()
        ]
        self._jax.block_until_ready(results)
        return results

    def check(self, program: Mapping[str, Any], precision: str) -> float:
        """Largest difference from TensorFlow's results, relative to the largest value of each."""
        results = self.run(self.compile(program["name"], precision), self.parameters(program))
        with np.load(self._folder / f"{program['name']}.npz") as stored:
            pairs = [(np.asarray(value), stored[f"result{i}"]) for i, value in enumerate(results)]
        return max(
            float(np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-30))
            for ours, theirs in pairs
            if theirs.size
        )

    def time(self, program: Mapping[str, Any], precision: str, repeats: int) -> list[float]:
        """Seconds of each of `repeats` runs, after one to warm up."""
        executable, parameters = self.compile(program["name"], precision), self.parameters(program)
        self.run(executable, parameters)
        seconds = []
        for _ in range(repeats):
            begun = time.perf_counter()
            self.run(executable, parameters)
            seconds.append(time.perf_counter() - begun)
        return seconds

    def peak_memory(self) -> int | None:
        """Most bytes that were in use on the device at once, where it says so."""
        return (self.device.memory_stats() or {}).get("peak_bytes_in_use")


def extrapolate(seconds: Mapping[int, float], lengths: Sequence[int], reviews: int = REVIEWS) -> float:
    """Seconds for `reviews` of the given distribution of lengths, from seconds a review at some padded lengths.

    Reviews are padded to multiples of 32; times between and below the measured lengths are interpolated linearly.
    """
    known = sorted(seconds)
    padded = [-(-length // 32) * 32 for length in lengths]
    each = np.interp(padded, known, [seconds[length] for length in known])
    shortest = np.minimum(np.array(padded) / known[0], 1)  # below, in proportion
    return float(np.mean(each * shortest) * reviews)


def replay(
    player: Player, manifest: Mapping[str, Any], precision: str, repeats: int, evaluations: float | None
) -> dict[str, Any]:
    """Check and time all programs in one precision."""
    programs = manifest["programs"]
    checks = {program["name"]: player.check(program, precision) for program in programs if program["check"]}
    for name, difference in checks.items():
        _say(f"{precision}: {name} differs from TensorFlow by {difference:.1e}")
    record: dict[str, Any] = {"checks": checks, "programs": {}, "engines": {}}
    if not repeats:
        return record
    for program in programs:
        if not program["check"]:
            seconds = player.time(program, precision, repeats)
            record["programs"][program["name"]] = {
                "rows": program["reviews"],
                "calls": program["calls"],
                "seconds": seconds,
            }
            _say(f"{precision}: {program['name']} {statistics.median(seconds) * 1e3:.2f} ms a call")
    for engine in dict.fromkeys(program["engine"] for program in programs):
        wanted = [p for p in programs if p["engine"] == engine and not p["check"]]
        record["engines"][engine] = _whole_engine(wanted, record["programs"], manifest["lengths"], evaluations)
    return record


def _calls(program: Mapping[str, Any], evaluations: float | None) -> float:
    """How often a program runs for its reviews.

    An adaptive engine needs as many evaluations as a network asks for, and random weights ask for the fewest. What runs
    once a group of reviews opens it; the rest grows with the evaluations beyond those of the paths' ends.
    """
    if program["engine"] != "adaptive" or evaluations is None or program["program"].startswith("ends"):
        return program["calls"]
    return program["calls"] * (evaluations - 1) / (program["evaluations"] - 1)


def _whole_engine(
    programs: Sequence[Mapping[str, Any]],
    timed: Mapping[str, Any],
    lengths: Sequence[int],
    evaluations: float | None,
) -> dict[str, Any]:
    """Seconds for all reviews: median, and what the fastest and the slowest repeats would give."""
    found = {}
    for name, of in (("median", statistics.median), ("fastest", min), ("slowest", max)):
        each: dict[int, float] = {}
        for program in programs:
            share = _calls(program, evaluations) * of(timed[program["name"]]["seconds"]) / program["reviews"]
            each[program["length"]] = each.get(program["length"], 0.0) + share
        found[name] = extrapolate(each, lengths)
        if name == "median":
            found["seconds_a_review"] = each
    return found


def captum(
    manifest: Mapping[str, Any], precision: str, device: str, batches: Sequence[int], count: int, repeats: int
) -> dict[str, Any]:
    """captum's best time for all reviews, from a sample of lengths, each text padded to itself alone."""
    os.environ["USE_TF"] = "0"
    import torch
    from transformers import AutoConfig

    from ig_worker.explain.problems import Problem, Target
    from ig_worker.models.inputs import ModelInput
    from tests.benchmarks.pytorch import CaptumEngine, network

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    kind = manifest["config"]["model_type"]
    config = AutoConfig.for_model(kind, **{k: v for k, v in manifest["config"].items() if k != "model_type"})
    weights = {name: draw(name, shape) for name, shape in manifest["weights"]}
    random = np.random.default_rng(7)
    lengths = [manifest["lengths"][(2 * i + 1) * len(manifest["lengths"]) // (2 * count)] for i in range(count)]
    ids = [random.integers(1000, config.vocab_size, length).astype(np.int32) for length in lengths]
    problems = [
        Problem(ModelInput.single(row), np.where(np.arange(len(row)) % (len(row) - 1), 0, row), Target(1))
        for row in ids
    ]
    best: dict[str, Any] = {"median": float("inf")}
    for attention in ("eager", "sdpa"):
        made = network(config, weights, attention)
        engine = CaptumEngine(made.to(torch.bfloat16) if precision == "bfloat16" else made, device=device)
        for batch in batches:
            engine.explain(problems[-1:], batch, N_STEPS)
            totals = [_captum_round(engine, problems, batch) for _ in range(repeats)]
            scaled = [seconds / count * REVIEWS for seconds in totals]
            _say(f"{precision}: captum, {attention}, internal batch {batch}: {statistics.median(totals) / count:.3f} s")
            if statistics.median(scaled) < best["median"]:
                best = {"median": statistics.median(scaled), "fastest": min(scaled), "slowest": max(scaled)}
                best |= {"attention": attention, "internal_batch": batch}
    return best


def _captum_round(engine: Any, problems: Sequence[Any], batch: int) -> float:
    begun = time.perf_counter()
    for problem in problems:
        engine.explain([problem], batch, N_STEPS)  # its results are copied to the host: all work is done
    return time.perf_counter() - begun


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("tests.benchmarks.replay", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("folder", type=Path, help="what tests.benchmarks.export wrote")
    add("--precisions", nargs="+", default=list(PRECISIONS), choices=PRECISIONS)
    add("--repeats", type=int, default=10, help="timed runs of each program; 0 only checks")
    add("--captum-reviews", type=int, default=4, help="reviews for captum; 0 leaves it out")
    add("--captum-batches", type=int, nargs="+", default=[10, 25, 50], help="internal batch sizes to try")
    add("--evaluations", type=float, help="of a review by the adaptive engine, as measured on a trained network")
    add("--json", type=Path, help="write all numbers there")
    options = parser.parse_args(argv)
    manifest = json.loads((options.folder / "manifest.json").read_text())
    player = Player(options.folder)
    _say(f"{player.device.device_kind}, {len(manifest['programs'])} programs")
    result: dict[str, Any] = {"device": player.device.device_kind, "precisions": {}}
    for precision in options.precisions:
        record = replay(player, manifest, precision, options.repeats, options.evaluations)
        if (
            options.repeats
            and options.captum_reviews
            and all(map(importlib.util.find_spec, ("torch", "transformers", "captum")))
        ):
            device = "cpu" if player.device.platform == "cpu" else "cuda"
            sizes = options.captum_batches, options.captum_reviews, min(options.repeats, 3)
            record["engines"]["captum"] = captum(manifest, precision, device, *sizes)
        for engine, found in record["engines"].items():
            spread = f"{found['fastest'] / 60:.1f} to {found['slowest'] / 60:.1f}"
            _say(f"{precision}: {engine}: {found['median'] / 60:.1f} minutes ({spread}) for {REVIEWS:,} reviews")
        result["precisions"][precision] = record
    result["peak_device_memory"] = player.peak_memory()
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
