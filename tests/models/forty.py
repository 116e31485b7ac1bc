"""The 40 text classifiers that are used most on model hubs, and a tiny random network of the same make for each.

    python -m tests.models.forty            # each from explaining to the report; prints the page's table
    python -m tests.models.forty NAME ...   # some of them

Sizes are those of the published configurations. None of the models is needed: a tiny one has the same encoder, head,
kind of tokenizer and layout of files, and the published number of outputs.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ig_worker.models.encoders import ENCODERS
from ig_worker.models.shape import read_shape
from ig_worker.models.weights import weight_shapes
from ig_worker.run.config import ExplainConfig
from tests.models.kinds import KINDS, config_of, state_of

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results" / "forty.json"
MULTI, REGRESSION = "multi_label_classification", "regression"
_TEXTS = [
    "The film was good, and the actor was great!",
    "A dull plot with a slow end.",
    "It is unforgettable, isn't it?",
]
_SECOND = ["It was a good film.", "The film was great!", "Nobody forgets it."]


@dataclass(frozen=True)
class Published:
    """A model on a hub."""

    name: str
    kind: str  # of `kinds.KINDS`
    hidden: int
    blocks: int
    heads: int
    vocabulary: int
    logits: int
    tokenizer: str  # of `tokenizer_makers.MAKERS`, or bert
    problem: str | None = None  # problem_type of its configuration
    pair: bool = False
    layout: str = "safetensors"

    @property
    def parameters(self) -> int:
        """Weights of the published network, in all."""
        encoder = ENCODERS[KINDS[self.kind]["model_type"]]
        sizes = {"hidden": self.hidden, "blocks": self.blocks, "heads": self.heads, "vocabulary": self.vocabulary}
        wide = 1152 if self.kind.startswith("modernbert") else 4 * self.hidden
        sizes |= {"intermediate": wide, "positions": _POSITIONS.get(self.name, 514 if "roberta" in self.kind else 512)}
        config = config_of(self.kind, self.logits) | {encoder.sizes[name]: value for name, value in sizes.items()}
        if self.kind == "deberta-v3":
            config |= {"position_buckets": 256, "max_relative_positions": -1}
        if self.kind == "modernbert":
            config |= {"max_position_embeddings": 8192}
        total = 0
        for shape in weight_shapes(read_shape(config)).values():
            size = 1
            for side in shape:
                size *= side
            total += size
        return total


_POSITIONS = {"BAAI/bge-reranker-v2-m3": 8194}


def _of(kind: str, hidden: int, blocks: int, heads: int, vocabulary: int, tokenizer: str) -> Any:
    def made(name: str, logits: int, words: int = vocabulary, **more: Any) -> Published:
        return Published(name, kind, hidden, blocks, heads, words, logits, tokenizer, **more)

    return made


_distilbert = _of("distilbert", 768, 6, 12, 30522, "bert")
_bert = _of("bert", 768, 12, 12, 30522, "bert")
_minilm = _of("bert", 384, 6, 12, 30522, "bert")
_roberta = _of("roberta", 768, 12, 12, 50265, "roberta")
_distilroberta = _of("roberta", 768, 6, 12, 50265, "roberta")
_roberta_large = _of("roberta", 1024, 24, 16, 50265, "roberta")
_xlm = _of("xlm-roberta", 768, 12, 12, 250002, "xlm-roberta")
_xlm_large = _of("xlm-roberta", 1024, 24, 16, 250002, "xlm-roberta")
_deberta = _of("deberta-v3", 768, 12, 12, 128100, "deberta")
_modernbert = _of("modernbert", 768, 22, 12, 50368, "modernbert")
REFUSED = {  # name -> model_type that is not explained
    "facebook/bart-large-mnli": "bart",
}
FORTY: tuple[Published, ...] = (
    _distilbert("distilbert/distilbert-base-uncased-finetuned-sst-2-english", 2),
    _distilbert("lxyuan/distilbert-base-multilingual-cased-sentiments-student", 3, 119547),
    _distilbert("bhadresh-savani/distilbert-base-uncased-emotion", 6),
    _distilbert("madhurjindal/autonlp-Gibberish-Detector-492513457", 4),
    _distilbert("tabularisai/multilingual-sentiment-analysis", 5, 119547),
    _distilbert("martin-ha/toxic-comment-model", 2, layout="bin"),
    _distilbert("typeform/distilbert-base-uncased-mnli", 3, pair=True),
    _bert("nlptown/bert-base-multilingual-uncased-sentiment", 5, 105879),
    _bert("ProsusAI/finbert", 3),
    _bert("yiyanghkust/finbert-tone", 3, 30873),
    _bert("oliverguhr/german-sentiment-bert", 3, 30000),
    _bert("textattack/bert-base-uncased-imdb", 2),
    _bert("finiteautomata/beto-sentiment-analysis", 3, 31002),
    _bert("snunlp/KR-FinBert-SC", 3, 20000),
    _bert("blanchefort/rubert-base-cased-sentiment", 3, 119547),
    _bert("unitary/toxic-bert", 6, problem=MULTI),
    _minilm("cross-encoder/ms-marco-MiniLM-L6-v2", 1, pair=True),
    _bert("HuggingFaceFW/fineweb-edu-classifier", 1, problem=REGRESSION),
    _roberta("cardiffnlp/twitter-roberta-base-sentiment-latest", 3),
    _roberta("cardiffnlp/twitter-roberta-base-sentiment", 3),
    _roberta("cardiffnlp/twitter-roberta-base-emotion", 4),
    _distilroberta("j-hartmann/emotion-english-distilroberta-base", 7),
    _roberta_large("siebert/sentiment-roberta-large-english", 2),
    _distilroberta("mrm8488/distilroberta-finetuned-financial-news-sentiment-analysis", 3),
    _roberta("facebook/roberta-hate-speech-dynabench-r4-target", 2),
    _roberta("s-nlp/roberta_toxicity_classifier", 2),
    _roberta("openai-community/roberta-base-openai-detector", 2),
    _roberta("SamLowe/roberta-base-go_emotions", 28, problem=MULTI),
    _roberta("unitary/unbiased-toxic-roberta", 16, problem=MULTI),
    _roberta_large("FacebookAI/roberta-large-mnli", 3, pair=True),
    _xlm("papluca/xlm-roberta-base-language-detection", 20),
    _xlm("cardiffnlp/twitter-xlm-roberta-base-sentiment", 3),
    _xlm_large("BAAI/bge-reranker-v2-m3", 1, pair=True),
    _xlm_large("BAAI/bge-reranker-large", 1, pair=True),
    _xlm_large("joeddav/xlm-roberta-large-xnli", 3, pair=True),
    _deberta("protectai/deberta-v3-base-prompt-injection-v2", 2),
    _deberta("meta-llama/Prompt-Guard-86M", 3, 251000),
    _deberta("MoritzLaurer/mDeBERTa-v3-base-mnli-xnli", 3, 251000, pair=True),
    _modernbert("Alibaba-NLP/gte-reranker-modernbert-base", 1, pair=True),
)


def make(folder: Path, model: Published) -> Path:
    """Write a tiny network of the model's make."""
    from transformers import AutoTokenizer

    from tests.models.checkpoints import write_safetensors
    from tests.models.tokenizer_makers import MAKERS
    from tests.tiny import save_tokenizer

    folder.mkdir(parents=True)
    if model.tokenizer == "bert":
        save_tokenizer(folder)
    else:
        MAKERS[model.tokenizer](folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    encoder = ENCODERS[KINDS[model.kind]["model_type"]]
    sizes = {"vocabulary": len(tokenizer), "positions": 514 if "roberta" in model.kind else 512}
    config = config_of(model.kind, model.logits) | {encoder.sizes[name]: value for name, value in sizes.items()}
    config |= {"pad_token_id": tokenizer.pad_token_id, "problem_type": model.problem}
    (folder / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    if model.layout == "bin":
        (folder / "pytorch_model.bin").write_bytes(b"PK\x03\x04")
    else:
        write_safetensors(folder / "model.safetensors", state_of(read_shape(config)), {"format": "pt"})
    return folder


def outcome(model: Published, folder: Path) -> str:
    """What becomes of a tiny network of the model's make, from explaining it to the report; "" where all works."""
    from ig_worker.errors import IgWorkerError
    from jobs import aggregate, report
    from tests.run.in_process import explain_here

    directory, run = make(folder / "model", model), folder / "run"
    rows = [{"text": text, "second": second} for text, second in zip(_TEXTS, _SECOND, strict=True)]
    data = folder / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    pair: dict[str, Any] = {"pair_column": "second"} if model.pair else {}
    config = ExplainConfig(
        dataset=str(data), model=str(directory), max_length=48, actors="1", gpus_per_actor=0.0, audit=1.0,
        max_audit_error=1e-4, method="gausslegendre", n_steps=20, **pair,
    )  # fmt: skip
    try:
        found = explain_here(run, config)
    except IgWorkerError as error:
        return str(error).replace(str(directory), "MODEL")
    if found.explained != len(rows) or found.audit_beyond is not None:
        return f"{found.explained} rows, {found.audit_beyond}"
    for job, arguments in ((aggregate, [str(run), "--actors", "none"]), (report, [str(run)])):
        told = io.StringIO()
        with contextlib.redirect_stderr(told), contextlib.redirect_stdout(io.StringIO()):
            code = job.main(arguments)
        if code:
            return told.getvalue().strip().splitlines()[-1]
    return ""


def main(argv: Sequence[str] | None = None) -> int:
    """Run them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    names = parser.parse_args(argv).names
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for model in FORTY:
        if names and model.name not in names:
            continue
        started, folder = time.monotonic(), Path(tempfile.mkdtemp())
        found[model.name] = outcome(model, folder)
        shutil.rmtree(folder)
        print(f"{model.name}: {found[model.name] or 'works'} ({time.monotonic() - started:.0f} s)", file=sys.stderr)
    RESULTS.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    if all(model.name in found for model in FORTY):
        print(table(found))
    return 0


def table(found: dict[str, str]) -> str:
    """The table on the page on models."""
    lines = ["| model | encoder | size | outputs | texts | tiny one |", "|---|---|---|---|---|---|"]
    for model in FORTY:
        what = {MULTI: f"{model.logits} labels", REGRESSION: "a number"}.get(
            model.problem or "", f"{model.logits} classes"
        )
        what = "1 logit" if (model.logits, model.problem) == (1, None) else what
        size = f"{model.parameters / 1e6:.0f}M ({model.blocks} x {model.hidden})"
        encoder = ENCODERS[KINDS[model.kind]["model_type"]].title
        lines.append(
            f"| `{model.name}` | {encoder} | {size} | {what} | {2 if model.pair else 1} | "
            f"{'refused' if found[model.name] else 'works'} |"
        )
    lines += [f"| `{name}` | BART | | | 2 | refused |" for name in REFUSED]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
