"""Two open questions about captum's convergence deltas, as worked examples.

    python -m tests.benchmarks.captum_deltas --model DIR        # a trained one; `make bench` installs captum

* https://github.com/meta-pytorch/captum/issues/1334: the delta grows with the number of steps. The notebook that the
  question names has a forward function that ends in `softmax(...)[0][1]`: of the points of the path that captum
  evaluates as one batch, only the first counts. With many steps in one batch next to nothing is left of the integral,
  and the delta tends to the whole change of F; with three in a batch, as there, to two thirds of it.
* https://github.com/meta-pytorch/captum/issues/1413: the delta is the same with 300 steps and with 900, and another one
  with input and baseline swapped. There, each end hands over an attention mask of its own, as an input. captum moves
  the layer's output from one end to the other, and leaves the mask of the input on all the way: the path does not begin
  at the baseline that the delta is taken from. Four forward passes say what is missed. The question does not show the
  masks; that they differ is what fits its figures.

No number of steps mends either, and the attributions are wrong, not only the delta. Here, a path has one mask at both
ends, the text's, and F is taken of each row of a batch.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.process import Child, ChildError, last_line
from tests.benchmarks.report import show_plain

TEXT = "a slow and dull film with actors who deserve better , and yet the end is a joy"
STEPS_OF_A_BATCH = (3, 5, 10, 20, 50, 100, 300)
STEPS_OF_MASKS = (20, 50, 300)
TOGETHER = 3  # points in a batch, as the notebook has it


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("tests.benchmarks.captum_deltas", description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, required=True, help="a trained network")
    parser.add_argument("--text", default=TEXT, help="what is explained: %(default)s")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="all cores by default")
    parser.add_argument("--packages", type=Path, default=Path(".bench/packages"), help="directory of torch and captum")
    options = parser.parse_args(argv)
    target = "tests.benchmarks.captum_deltas:Worked"
    arguments = {"model": str(options.model.resolve()), "text": options.text}
    try:
        with Child(target, threads=options.threads, packages=options.packages.resolve(), **arguments) as child:
            first = child.ask("first_of_a_batch", steps=STEPS_OF_A_BATCH)
            masks = child.ask("masks", steps=STEPS_OF_MASKS)
    except ChildError as error:
        print(f"error: {last_line(error)}; `make bench` installs captum", file=sys.stderr)
        return 1
    title = f"#1334: delta, where F changes by {first['change']:+.4f}"
    headings = ("steps", "[0][1], all in one batch", f"[0][1], {TOGETHER} in a batch", "[:, 1]")
    show_plain(title, headings, [[f"{n}", *map(_signed, deltas)] for n, *deltas in first["deltas"]])
    headings = ("steps", "own masks", "and swapped", "one mask", "and swapped")
    rows = [[f"{n}", *map(_signed, deltas)] for n, *deltas in masks["deltas"]]
    rows.append(["four forward passes say", *map(_signed, masks["limits"])])
    show_plain("#1413: delta, with each end's own attention mask and with the text's at both", headings, rows)
    return 0


def _signed(value: float) -> str:
    return f"{value:+.6f}"


class Worked:
    """Both questions with one network and one text; lives in a `process.Child`, which alone sees captum."""

    def __init__(self, threads: int, model: str, text: str) -> None:
        os.environ["USE_TF"] = "0"
        import torch
        from transformers import AutoTokenizer

        from tests.benchmarks.pytorch import load

        torch.set_num_threads(threads)
        self._torch, self._network = torch, load(model, "eager")
        tokenizer = AutoTokenizer.from_pretrained(model, local_files_only=True)
        self._text = torch.tensor([tokenizer(text)["input_ids"]])
        special = torch.isin(self._text, torch.tensor(tokenizer.all_special_ids))
        self._baseline = torch.where(special, self._text, tokenizer.pad_token_id)
        self._all, self._few = torch.ones_like(self._text), special.long()  # attention masks
        with torch.no_grad():
            self._target = int(self._probabilities(self._text, self._all).argmax())

    def first_of_a_batch(self, steps: Sequence[int]) -> dict[str, Any]:
        """By number of steps, delta with the notebook's forward function at two batch sizes, and with a right one."""
        notebook = self._captum(lambda ids: self._probabilities(ids, self._mask(ids))[0][self._target].unsqueeze(-1))
        right = self._captum(lambda ids: self._probabilities(ids, self._mask(ids))[:, self._target])
        change = self._f(self._text, self._all) - self._f(self._baseline, self._all)
        found = [
            [n, notebook(self._text, self._baseline, n, n), notebook(self._text, self._baseline, n, TOGETHER),
             right(self._text, self._baseline, n, n)]
            for n in steps
        ]  # fmt: skip
        return {"change": change, "deltas": found}

    def masks(self, steps: Sequence[int]) -> dict[str, Any]:
        """By number of steps, delta with own masks and with one, forth and back; and what it must tend to."""
        captum = self._captum(lambda ids, mask: self._probabilities(ids, mask)[:, self._target])
        text, baseline = (self._text, self._all), (self._baseline, self._few)
        same = (self._baseline, self._all)
        pairs = ((text, baseline), (baseline, text), (text, same), (same, text))
        deltas = [[n, *(captum(end, start, n, 50) for end, start in pairs)] for n in steps]
        # The path ends at `end`, and begins at the ids of `start` under the mask of `end`: what is missed is the rest.
        limits = [self._f(*start) - self._f(start[0], end[1]) for end, start in pairs]
        return {"deltas": deltas, "limits": limits}

    def _captum(self, forward: Callable[..., Any]) -> Callable[[Any, Any, int, int], float]:
        """What gives captum's delta from a start to an end, with so many steps, and so many of them in a batch."""
        from captum.attr import LayerIntegratedGradients

        network = self._network
        method = LayerIntegratedGradients(forward, getattr(network, network.config.model_type).embeddings)

        def delta(end: Any, start: Any, steps: int, batch: int) -> float:
            _, found = method.attribute(
                end, start, n_steps=steps, internal_batch_size=batch, return_convergence_delta=True
            )
            return float(found)

        return delta

    def _mask(self, ids: Any) -> Any:
        return self._torch.ones_like(ids)

    def _probabilities(self, ids: Any, mask: Any) -> Any:
        return self._torch.softmax(self._network(input_ids=ids, attention_mask=mask).logits, dim=-1)

    def _f(self, ids: Any, mask: Any) -> float:
        with self._torch.no_grad():
            return float(self._probabilities(ids, mask)[0, self._target])


if __name__ == "__main__":
    sys.exit(main())
