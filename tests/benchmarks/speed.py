"""Speed, memory and accuracy beside alibi and captum, side by side on one machine in one run.

    python -m tests.benchmarks.speed --reviews DIR --model DIR      # the comparison (`make bench`)
    python -m tests.benchmarks.speed --reviews DIR --model DIR --scout    # what the comparison does first, alone
    python -m tests.benchmarks.speed --savings                      # what each exact saving is worth
    python -m tests.benchmarks.speed --choices                      # oneDNN, XLA, threads, batch sizes
    python -m tests.benchmarks.speed --memory                       # peak memory against nodes and chunk size
    python -m tests.benchmarks.speed --markdown .bench/speed.json   # a finished result as the README's tables

DIR of --reviews holds real reviews: imdb.npz, imdb_word_index.json and bert-base-uncased-vocab.txt.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks import choices, compare, machine, memory, ours, report
from tests.benchmarks.arithmetic import Sizes
from tests.benchmarks.compare import Setting
from tests.benchmarks.minilm import LackingError, fine_tuned
from tests.benchmarks.process import ChildError, last_line
from tests.benchmarks.workload import PILOT, REVIEWS_FILE, VOCABULARY_FILE, read_sizes

BASE = "distilbert-base sizes, random weights"


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    if options.markdown:
        print(report.markdown(json.loads(options.markdown.read_text())))
        return 0
    options.out.mkdir(parents=True, exist_ok=True)
    setting = _setting(options)
    try:
        if options.minilm:
            options.model.append(fine_tuned(options.reviews, options.packages, options.out, setting.say))
    except LackingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.scout:
        for model in options.model:
            _find_out(options, setting, str(model.resolve()))
        return 0
    mode = next((name for name in ("savings", "choices", "memory") if getattr(options, name)), "speed")
    tables = _MODES[mode](options, setting)
    result = {
        "mode": mode,
        "machine": machine.describe(setting.packages),
        "threads": setting.threads,
        "rounds": setting.rounds,
        "reviews": "real" if setting.reviews else "made up",
        "load": os.getloadavg()[2],  # of the last 15 minutes
        "tables": tables,
    }
    path = options.out / f"{mode}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    if mode != "memory":
        for title, records in tables.items():
            report.show(title, records)
        report.plot(result, path.with_suffix(".png"))
    print(path)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("tests.benchmarks.speed", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--reviews", type=Path, help="directory of real reviews; without it tokens are made up, of the same lengths")
    add("--model", type=Path, action="append", default=[], help="a trained network, for accuracy too; may be repeated")
    add(
        "--minilm", action="store_true", help="MiniLM as well, which is fine-tuned on --reviews first, in about an hour"
    )
    add("--no-base", action="store_true", help="leave out the network of distilbert-base's sizes")
    add("--rounds", type=int, default=3, help="interleaved rounds, %(default)s by default")
    add("--count", type=int, default=3, help="reviews a round on distilbert-base's sizes")
    add("--model-count", type=int, default=64, help="reviews a round on each --model")
    add("--chunk", type=int, default=24, help="ours explains each review so often that there are this many, as a chunk")
    add("--model-chunk", type=int, default=256, help="the same for each --model")
    add("--pilot", type=int, default=PILOT, help="rows of a --model's pilot, %(default)s by default; 0 for none")
    add("--calibration", type=Path, metavar="JSON", help="of tests.benchmarks.pilot --json, instead of a pilot")
    add("--hindsight", type=int, default=48, help="reviews for which the best fixed rules are sought, %(default)s")
    add("--internal-batch", type=int, action="append", help="of alibi and captum; again; all that fit are tried")
    add("--threads", type=int, default=os.cpu_count(), help="threads of every process, all cores by default")
    add("--tolerance", type=float, default=0.005, help="of the adaptive engine")
    add("--max-evaluations", type=int, default=64, help="of the adaptive engine")
    add("--packages", type=Path, default=Path(".bench/packages"), help="directory of torch and captum")
    add("--out", type=Path, default=Path(".bench"), help="where results go, %(default)s by default")
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument(
        "--scout", action="store_true", help="only run pilots and seek the best fixed rules, for a later race"
    )
    modes.add_argument("--savings", action="store_true", help="measure each exact saving alone")
    modes.add_argument("--choices", action="store_true", help="measure the choices for CPUs")
    modes.add_argument("--memory", action="store_true", help="measure peak memory")
    modes.add_argument("--markdown", type=Path, metavar="JSON", help="print a result as Markdown")
    return parser


def _setting(options: argparse.Namespace) -> Setting:
    begun = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - begun:6.0f} s] {text}", file=sys.stderr, flush=True)

    reviews = options.reviews
    if reviews is not None and not (reviews / REVIEWS_FILE).exists():
        say(f"no {REVIEWS_FILE} in {reviews}: tokens are made up")
        reviews = None
    return Setting(
        threads=options.threads,
        rounds=options.rounds,
        out=options.out.resolve(),
        packages=options.packages.resolve() if options.packages.is_dir() else None,
        reviews=str(reviews.resolve()) if reviews else None,
        say=say,
        internal_batches=tuple(options.internal_batch or compare.INTERNAL_BATCHES),
    )


def _speed(options: argparse.Namespace, setting: Setting) -> dict[str, Any]:
    tables = {}
    if not options.no_base:
        tables |= _compare(options, setting, BASE, base_model(setting), trained=False)
    for model in options.model:
        name = f"{model.name}: {read_sizes(model)['blocks']} blocks of width {read_sizes(model)['hidden']}, trained"
        tables |= _compare(options, setting, name, str(model.resolve()), trained=True)
    return tables


def _compare(
    options: argparse.Namespace, setting: Setting, name: str, model: str, trained: bool
) -> dict[str, list[dict[str, Any]]]:
    count, copies = _amount(options, trained)
    found = _find_out(options, setting, model) if trained else ours.Findings()
    documents, lengths = make_documents(setting, model, count)
    reference = _reference(setting, model, documents) if trained else None
    adaptive = {"tolerance": options.tolerance, "max_evaluations": options.max_evaluations}
    rows = [
        *compare.peers(setting, model, documents),
        *ours.contestants(model, documents, copies, adaptive, found),
    ]
    records = compare.race(setting, rows, Sizes(**read_sizes(model)), lengths, reference)
    records[-1]["pilot"] = found.pilot
    return {f"{name}; {_reviews(lengths)}": records}


def _find_out(options: argparse.Namespace, setting: Setting, model: str) -> ours.Findings:
    """What a night would know of a network, and what it would not."""
    try:
        run = ours.read_pilot(options.calibration, model, options.tolerance) if options.calibration else None
    except (OSError, ValueError) as error:
        raise SystemExit(f"error: --calibration: {error}") from error
    pilot = None if run else make_pilot(setting, model, options.pilot)
    documents = make_documents(setting, model, options.hindsight)[0] if options.hindsight else None
    return ours.find_out(setting, model, documents, pilot, options.tolerance, run)


def _reviews(lengths: Sequence[int]) -> str:
    return f"{len(lengths)} reviews, {sum(lengths) / len(lengths):.0f} tokens on average"


def _amount(options: argparse.Namespace, trained: bool) -> tuple[int, int]:
    """How many reviews a round, and how often ours explains each, so that its batches are as full as in a run."""
    count, chunk = (options.model_count, options.model_chunk) if trained else (options.count, options.chunk)
    return count, max(1, round(chunk / count))


def _reference(setting: Setting, model: str, documents: str) -> str | None:
    """File of exact attributions; None, with a word, where they cannot be had."""
    path = setting.out / "reference.npz"
    try:
        with setting.child("peers:Ours", model=model, documents=documents, engine="refined") as child:
            setting.say("the refined reference")
            child.ask("round")
            child.ask("attributions", path=str(path))
    except ChildError as error:
        setting.say(f"no accuracy: {last_line(error)}")
        return None
    return str(path)


def base_model(setting: Setting) -> str:
    """Directory of a random network of distilbert-base's sizes, made if it is not there."""
    directory = setting.out / "distilbert-base"
    if not (directory / "tokenizer.json").exists():
        vocabulary = Path(setting.reviews) / VOCABULARY_FILE if setting.reviews else None
        with setting.child("workload:Maker") as maker:
            maker.ask("base_model", directory=str(directory), vocabulary=vocabulary and str(vocabulary))
    return str(directory)


def make_documents(setting: Setting, model: str, count: int) -> tuple[str, list[int]]:
    """A file of documents for `model`, and their lengths in tokens."""
    path = setting.out / "documents.npz"
    with setting.child("workload:Maker") as maker:
        lengths = maker.ask("problems", path=str(path), model=model, reviews=setting.reviews, count=count)
    setting.say(f"{_reviews(lengths)}, {min(lengths)} to {max(lengths)}")
    return str(path), lengths


def make_pilot(setting: Setting, model: str, rows: int) -> str | None:
    """A file of real reviews for a pilot, none of which is explained; None where there are none."""
    if not rows or not setting.reviews:
        return None
    path = setting.out / "pilot.npz"
    with setting.child("workload:Maker") as maker:
        maker.ask("pilot", path=str(path), model=model, reviews=setting.reviews, count=rows)
    return str(path)


def _on_one_network(rows: Callable[..., list[compare.Contestant]]) -> Callable[..., dict[str, Any]]:
    """A mode that races variants of this project's engine on the first --model, or else on distilbert-base's sizes."""

    def run(options: argparse.Namespace, setting: Setting) -> dict[str, Any]:
        trained = bool(options.model)
        model = str(options.model[0].resolve()) if trained else base_model(setting)
        count, copies = _amount(options, trained)
        documents, lengths = make_documents(setting, model, count)
        common = {"model": model, "documents": documents, "copies": copies}
        records = compare.race(setting, rows(common, setting.threads), Sizes(**read_sizes(model)), lengths)
        return {f"{options.model[0].name if trained else BASE}; {_reviews(lengths)}": records}

    return run


_MODES: dict[str, Callable[[argparse.Namespace, Setting], dict[str, Any]]] = {
    "speed": _speed,
    "savings": _on_one_network(choices.savings),
    "choices": _on_one_network(choices.cpu_choices),
    "memory": lambda options, setting: memory.measure(setting),
}


if __name__ == "__main__":
    sys.exit(main())
