"""Small tokenizers of each kind, in the files that people have them in, learnt from a few made-up sentences."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

SENTENCES = [
    "The film was good, and the actor was great!",
    "A dull plot with a slow end; never boring, though.",
    "It's the best scene of them all... isn't it?",
    "We watched 12 films in 2 days (and 1 night).",
    "Un été à la mer: très joli, mais trop lent.",
    "Der Schluss war schön, die Musik überzeugend.",
    "電影很好看 and so was the book, 映画 too.",
    "unforgettable, unforgivable, watchable and rewatchable films",
]
TEXTS = [
    "The film was good, and unforgettable!",
    "",
    " ",
    "  two  blanks,\n\na line\tand a tab  ",
    "Un été très lent; e\u0301te\u0301.",
    "電影很好看 映画 film",
    "😀 so good 👍🏽👩\u200d💻!",
    "a literal <s> and [CLS] and <mask> and [MASK]",
    "x" * 700,
    "it's well-made... isn't it? (12/10)",
    "\u00a0hard\u3000blanks\u200band\x00more",
    "ไทย ลาว ខ្មែរ မြန်မာ हिन्दी 한국어 العربية",
    "good " * 90,
]
_ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def settings(folder: Path, **values: Any) -> None:
    """Write tokenizer_config.json."""
    (folder / "tokenizer_config.json").write_text(json.dumps(values))


def roberta(folder: Path) -> None:
    """vocab.json and merges.txt of byte-level BPE."""
    from tokenizers import ByteLevelBPETokenizer

    learnt = ByteLevelBPETokenizer()
    learnt.train_from_iterator(SENTENCES, vocab_size=380, min_frequency=1, special_tokens=_ROBERTA, show_progress=False)
    learnt.save_model(str(folder))
    settings(folder, tokenizer_class="RobertaTokenizer")


def modern_bert(folder: Path) -> None:
    """tokenizer.json of byte-level BPE with BERT's special tokens, whose offsets have the space before a word."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    learnt = Tokenizer(models.BPE())
    learnt.normalizer = normalizers.NFC()
    learnt.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    learnt.train_from_iterator(
        SENTENCES, trainers.BpeTrainer(vocab_size=360, special_tokens=special, initial_alphabet=alphabet)
    )
    learnt.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    learnt.save(str(folder / "tokenizer.json"))
    settings(folder, tokenizer_class="PreTrainedTokenizerFast", pad_token="[PAD]", unk_token="[UNK]")


def byte_fallback(folder: Path) -> None:
    """tokenizer.json of BPE with a token for each byte, as SentencePiece's are converted."""
    from tokenizers import Tokenizer, models, normalizers, processors

    special = ["<unk>", "<s>", "</s>", "<pad>", "<mask>"]
    pieces = [*special, *(f"<0x{byte:02X}>" for byte in range(256)), *"▁abcdefghilmnoprstuvwxz", "▁f", "oo"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    model = models.BPE(vocabulary, [("▁", "f"), ("o", "o")], unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    made = Tokenizer(model)
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.add_special_tokens(special)
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", vocabulary["<s>"]), ("</s>", vocabulary["</s>"])]
    )
    made.save(str(folder / "tokenizer.json"))
    settings(folder, tokenizer_class="PreTrainedTokenizerFast")


def word_piece(folder: Path, kind: str, special: list[str]) -> None:
    """vocab.txt of BERT's kind for another class."""
    words = "the film was good and dull un ##for ##get ##table it ' s is ##n t . , ! ? ( ) - so".split()
    (folder / "vocab.txt").write_text("\n".join([*special, *words]) + "\n")
    settings(folder, tokenizer_class=kind)


def sentence_piece(folder: Path, file: str, kind: str, model: str = "unigram", size: int = 150, **options: Any) -> None:
    """A SentencePiece model and nothing else."""
    import sentencepiece

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 3),
        model_writer=written,
        model_type=model,
        vocab_size=size,
        hard_vocab_limit=False,
        minloglevel=2,
        num_threads=1,
        **options,
    )
    (folder / file).write_bytes(written.getvalue())
    settings(folder, tokenizer_class=kind)


def albert(folder: Path) -> None:
    marks = {"pad_id": 0, "unk_id": 1, "bos_id": -1, "eos_id": -1, "control_symbols": ["[CLS]", "[SEP]", "[MASK]"]}
    sentence_piece(folder, "spiece.model", "AlbertTokenizer", **marks)


def deberta(folder: Path, **options: Any) -> None:
    marks = {"pad_id": 0, "bos_id": 1, "eos_id": 2, "unk_id": 3}
    names = {"pad_piece": "[PAD]", "bos_piece": "[CLS]", "eos_piece": "[SEP]", "unk_piece": "[UNK]"}
    sentence_piece(folder, "spm.model", "DebertaV2Tokenizer", **marks, **names, **options)


MAKERS: dict[str, Callable[[Path], None]] = {
    "roberta": roberta,
    "modernbert": modern_bert,
    "mpnet": lambda folder: word_piece(folder, "MPNetTokenizer", ["<s>", "<pad>", "</s>", "<unk>", "[UNK]", "<mask>"]),
    "electra": lambda folder: word_piece(folder, "ElectraTokenizer", ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]),
    "xlm-roberta": lambda folder: sentence_piece(folder, "sentencepiece.bpe.model", "XLMRobertaTokenizer"),
    "camembert": lambda folder: sentence_piece(folder, "sentencepiece.bpe.model", "CamembertTokenizer"),
    "albert": albert,
    "deberta": deberta,
    "deberta-bytes": lambda folder: deberta(folder, size=400, byte_fallback=True),
    "llama": lambda folder: sentence_piece(
        folder, "tokenizer.model", "LlamaTokenizer", "bpe", size=420, byte_fallback=True
    ),
    "byte-fallback": byte_fallback,
}


def make(folder: Path, name: str) -> Path:
    """The tokenizer of that name in a directory."""
    folder.mkdir(parents=True, exist_ok=True)
    MAKERS[name](folder)
    return folder


def saved(source: Path, folder: Path) -> Path:
    """The same as transformers 4 writes it, with every file that it writes."""
    from transformers import AutoTokenizer

    AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    return folder


def json_alone(source: Path, folder: Path, kind: str | None = "PreTrainedTokenizerFast") -> Path:
    """tokenizer.json, and nothing that declares a special token."""
    whole = saved(source, folder / "whole")
    (folder / "tokenizer.json").write_bytes((whole / "tokenizer.json").read_bytes())
    settings(folder, **({"tokenizer_class": kind} if kind else {}))
    return folder


def newer(source: Path, folder: Path) -> Path:
    """The same as transformers 5 writes it."""
    json_alone(source, folder)
    settings(folder, tokenizer_class="TokenizersBackend", backend="tokenizers", extra_special_tokens=[])
    return folder
