"""Write the engines' programs as StableHLO, to be timed by `replay` on a machine with JAX and without TensorFlow.

    python -m tests.benchmarks.export --out DIR

Every program that an engine compiles is caught when it is made: nothing here knows their names. The folder holds

    manifest.json           programs, their parameters, and how often each runs for so many reviews of a length
    NAME.mlir.gz            a program; its parameters are its arguments, then the weights that it reads
    NAME.npz                integer arguments, for timing; all arguments and TensorFlow's results, for checking

Weights are not stored. They are drawn from a seed by name, here and there.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from ig_worker.explain.problems import Problem, Target
from ig_worker.models.inputs import ModelInput
from ig_worker.models.layers import NetworkShape
from ig_worker.models.shape import read_shape
from ig_worker.models.weights import weight_paths, weight_shapes
from tests.benchmarks.weights import draw
from tests.benchmarks.workload import IMDB_LENGTHS, read_sizes

LENGTHS = (64, 128, 192, 256)  # padded lengths for timing; times between are interpolated
CHECKED = 64  # length of the programs for checking, with few rows: their arguments are stored
ENGINES = ("fixed", "adaptive")
# Of a program's text: where it came from, which names this machine's files.
_LOCATION = re.compile(r'\s*\bloc\((?:[^()"]|"[^"]*"|\([^()]*\))*\)')


@dataclass
class Program:
    """One program that an engine compiled."""

    name: str
    function: Callable[..., Any]  # of flat arguments
    specs: list[Any]  # of its arguments
    concrete: Any
    calls: int = 0
    arguments: dict[int, np.ndarray] = field(default_factory=dict)  # of the first call, by position
    results: list[np.ndarray] = field(default_factory=list)


class Recorder:
    """Stands in for `tf.function` while an engine is at work.

    Args:
        run: False answers calls with zeros, so that programs for a GPU's batches need not run here.
    """

    def __init__(self, tf: Any, run: bool) -> None:
        self.programs: list[Program] = []
        self._tf = tf
        self._function = tf.function
        self._run = run

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Within, every `tf.function` is recorded."""
        self._tf.function = self.function
        try:
            yield
        finally:
            self._tf.function = self._function

    def function(self, body: Any = None, **options: Any) -> Any:
        """What `tf.function` is replaced with."""
        if body is None:
            return lambda body: self.function(body, **options)
        return _Recorded(self, body, options)

    def make(self, body: Any, options: dict[str, Any], specs: tuple[Any, ...]) -> Program:
        """Trace `body` and keep it."""
        tf = self._tf
        flat = tf.nest.flatten(specs)

        def function(*arguments: Any) -> Any:
            return tf.nest.flatten(body(*tf.nest.pack_sequence_as(specs, arguments)))

        concrete = self._function(body, **options).get_concrete_function(*specs)
        name = getattr(body, "__name__", "program").strip("_<>")
        self.programs.append(Program(name, function, flat, concrete))
        return self.programs[-1]

    def call(self, program: Program, arguments: tuple[Any, ...]) -> Any:
        """Run a program, or answer with zeros, and keep what went in and came out."""
        nest = self._tf.nest
        program.calls += 1
        if self._run:
            answer = program.concrete(*arguments)
        else:
            outputs = program.concrete.structured_outputs
            answer = nest.map_structure(lambda spec: self._tf.zeros(spec.shape, spec.dtype), outputs)
        if program.calls == 1:
            program.arguments = {
                i: np.asarray(value)
                for i, value in enumerate(nest.flatten(arguments))
                if self._run or program.specs[i].dtype.is_integer  # random numbers do for timing, but not as indices
            }
            program.results = [value.numpy() for value in nest.flatten(answer)] if self._run else []
        return answer


class _Recorded:
    """A function under record: traced once for each signature."""

    def __init__(self, recorder: Recorder, body: Any, options: dict[str, Any]) -> None:
        self._recorder = recorder
        self._body = body
        self._options = options
        self._made: dict[str, Program] = {}

    def get_concrete_function(self, *specs: Any) -> Any:
        program = self._recorder.make(self._body, self._options, specs)

        def call(*arguments: Any) -> Any:
            return self._recorder.call(program, arguments)

        call.structured_outputs = program.concrete.structured_outputs  # type: ignore[attr-defined]
        return call

    def __call__(self, *arguments: Any) -> Any:
        tf = self._recorder._tf
        if any(tf.is_symbolic_tensor(value) for value in tf.nest.flatten(arguments) if tf.is_tensor(value)):
            return self._body(*arguments)  # within another program: a part of it
        specs = tf.nest.map_structure(lambda value: tf.TensorSpec(value.shape, value.dtype), arguments)
        key = str(specs)
        if key not in self._made:
            self._made[key] = self._recorder.make(self._body, self._options, specs)
        return self._recorder.call(self._made[key], arguments)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("tests.benchmarks.export", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", type=Path, help="take the sizes of this network; by default distilbert-base's")
    parser.add_argument("--lengths", type=int, nargs="+", default=list(LENGTHS), help="padded lengths, in tokens")
    parser.add_argument("--batch-tokens", type=int, default=65536, help="of a GPU's batches")
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=ENGINES)
    options = parser.parse_args(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    classifier, config = _network(options.model)
    programs = []
    with patch("ig_worker.models.elementwise.has_gpu", return_value=True):  # where they are going to run
        for engine in options.engines:
            for length in options.lengths:
                programs += _export(options.out, classifier, engine, length, options.batch_tokens, run=False)
            programs += _export(options.out, classifier, engine, CHECKED, 2 * CHECKED, run=True)
    names = _file_names(classifier.shape)
    weights = [[names[name], list(variable.shape)] for name, variable in classifier.weights.items()]
    manifest = {"config": config, "lengths": IMDB_LENGTHS, "weights": weights, "programs": programs}
    (options.out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    size = sum(path.stat().st_size for path in options.out.iterdir())
    print(f"{options.out}: {len(programs)} programs, {size / 2**20:.1f} MiB")
    return 0


def _network(model: Path | None) -> tuple[Any, dict[str, Any]]:
    """A DistilBERT classifier with drawn weights, and transformers' configuration of it."""
    from ig_worker.models.runtime import configure  # isort: skip
    from transformers import DistilBertConfig

    from ig_worker.models.classifier import Classifier, as_variables

    configure()
    sizes = read_sizes(model) if model else {}
    names = {"blocks": "n_layers", "hidden": "dim", "heads": "n_heads", "intermediate": "hidden_dim"}
    config = DistilBertConfig(**{names[key]: value for key, value in sizes.items()})
    shape = read_shape(config.to_dict())
    names = _file_names(shape)
    weights = as_variables((name, draw(names[name], size)) for name, size in weight_shapes(shape).items())
    return Classifier(shape, weights, None), config.to_dict()


def _file_names(shape: NetworkShape) -> dict[str, str]:
    """The name here -> as transformers' TensorFlow classes write it, of every weight."""
    paths = weight_paths(shape)
    return {name: path if "classifier" in path else f"{shape.architecture}/{path}" for name, path in paths.items()}


def _export(
    out: Path, classifier: Any, engine: str, length: int, batch_tokens: int, *, run: bool
) -> list[dict[str, Any]]:
    """Let an engine explain one full group of problems of a length; write what it compiled."""
    from ig_worker.explain.packing import BatchShape
    from ig_worker.models.runtime import tf
    from tests.benchmarks.peers import make_engine

    shape = BatchShape(length, batch_tokens)
    reviews = shape.rows(length)
    network = classifier.split("embeddings")
    network.above(
        tf.zeros([1, 2, classifier.shape.hidden]), tf.ones([1, 2], tf.int32)
    )  # wakes XLA, before the recording
    recorder = Recorder(tf, run)
    with recorder.recording():
        made = make_engine(engine, network, shape, tolerance=0.005, max_evaluations=64)
        explained = made.explain(_documents(classifier.shape.vocabulary, length, reviews))
    case = {"engine": engine, "length": length, "check": run, "reviews": reviews}
    case["evaluations"] = float(np.mean([each.evaluations for each in explained]))
    return [
        _write(out, f"{engine}-{length}-{'check' if run else 'time'}-{i}-{program.name}", program, classifier)
        | {**case, "calls": program.calls}
        for i, program in enumerate(recorder.programs)
        if program.calls
    ]


def _documents(vocabulary: int, length: int, count: int) -> list[Problem]:
    random = np.random.default_rng(7)
    ids = random.integers(1000, vocabulary, [count, length]).astype(np.int32)
    return [
        Problem(ModelInput.single(row), np.where(np.arange(length) % (length - 1), 0, row), Target(1)) for row in ids
    ]


def _write(out: Path, name: str, program: Program, classifier: Any) -> dict[str, Any]:
    """Write one program; its record for the manifest."""
    from ig_worker.models.runtime import tf

    compiled = tf.function(program.function, jit_compile=True, autograph=False)
    text = compiled.experimental_get_compiler_ir(*program.specs)(stage="stablehlo")
    text = "\n".join(line for line in _LOCATION.sub("", text).splitlines() if not line.startswith("#loc"))
    (out / f"{name}.mlir.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    captured, stored = _captured(compiled.get_concrete_function(*program.specs), classifier)
    stored |= {f"argument{i}": value for i, value in program.arguments.items()}
    stored |= {f"result{i}": value for i, value in enumerate(program.results)}
    np.savez_compressed(out / f"{name}.npz", **stored)
    arguments = [[list(spec.shape), spec.dtype.name] for spec in program.specs]
    return {"name": name, "program": program.name, "arguments": arguments, "captured": captured}


def _captured(concrete: Any, classifier: Any) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """What a program reads besides its arguments: weights by name and shape, and constants, which are stored."""
    names = _file_names(classifier.shape)
    by_handle = {id(variable.handle): (names[name], variable) for name, variable in classifier.weights.items()}
    captured, stored = [], {}
    for i, value in enumerate(concrete.captured_inputs):
        if id(value) in by_handle:
            name, variable = by_handle[id(value)]
            captured.append({"weight": name, "shape": list(variable.shape)})
        else:
            captured.append({"constant": f"constant{i}"})
            stored[f"constant{i}"] = value.numpy()
    return captured, stored


if __name__ == "__main__":
    sys.exit(main())
