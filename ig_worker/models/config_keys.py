"""Every key of a transformers ``config.json``: followed, without effect on what is computed here, or refused.

A test holds the tables to the keys that the installed transformers knows. Needs no TensorFlow.

A key that transformers does not know either is named in one line and not refused. transformers' own BERT and
DistilBERT cannot read it, so it cannot change what they compute; people's files are full of such leftovers; and a
network that needs one is another class (`architectures`, `auto_map`) or has other tensors, which are refused as such.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ig_worker.errors import ModelError

_SHOWN = 5  # names in a line


class Use(Enum):
    """What becomes of a key."""

    HONOURED = "honoured"  # followed in all its values, those that cannot be followed refused, by whoever `why` names
    HARMLESS = "harmless"  # no value changes the class probabilities of a text
    FIXED = "fixed"  # refused but for the values in `only`


@dataclass(frozen=True)
class Key:
    """A key of config.json."""

    use: Use
    why: str
    only: tuple[Any, ...] = ()  # of Use.FIXED: what is not refused


def _honoured(why: str, *names: str) -> dict[str, Key]:
    return dict.fromkeys(names, Key(Use.HONOURED, why))


def _harmless(why: str, *names: str) -> dict[str, Key]:
    return dict.fromkeys(names, Key(Use.HARMLESS, why))


def _fixed(why: str, only: tuple[Any, ...], *names: str) -> dict[str, Key]:
    return dict.fromkeys(names, Key(Use.FIXED, why, only))


_COMMON = {
    **_honoured("layers.read_shape: the architecture", "model_type"),
    **_honoured("another head than a sequence classifier's is refused", "architectures"),
    **_honoured("layers.read_shape: sizes, which the tensors have to have", "vocab_size", "max_position_embeddings"),
    **_honoured("layers.read_shape: class names, as many as the head's tensors have rows", "id2label"),
    **_honoured("layers.read_shape: the number of classes where id2label is not there", "num_labels"),
    **_honoured("layers.read_shape: a softmax, or a single logit's sigmoid; others are refused", "problem_type"),
    **_honoured("transformers' AutoTokenizer", "tokenizer_class"),
    **_honoured("layers.read_shape: the head of jobs.finetune --recipe bert-head", "ig_worker_head"),
    **_fixed("attention would be causal", (None, False), "is_decoder"),
    **_fixed("the network would be two", (None, False), "is_encoder_decoder"),
    **_fixed("its blocks would have one more attention", (None, False), "add_cross_attention"),
    **_fixed("its attention would have other heads in each block", (None, {}), "pruned_heads"),
    **_fixed("attention would depend on distances too", (None, "absolute"), "position_embedding_type"),
    **_fixed("its tensors are not the weights but a code for them", (None,), "quantization_config"),
    **_fixed("transformers would take the weights from that file", (None,), "transformers_weights"),
    **_fixed("transformers would take another configuration", (None,), "configuration_files"),
    **_fixed("the network would be somebody's own code", (None, {}), "auto_map"),
    **_harmless("what a call also returns", "output_attentions", "output_hidden_states", "return_dict", "torchscript"),
    **_harmless("only generating text reads it", "max_length", "min_length", "do_sample", "early_stopping"),
    **_harmless("only generating text reads it", "temperature", "top_k", "top_p", "typical_p", "repetition_penalty"),
    **_harmless("only generating text reads it", "length_penalty", "no_repeat_ngram_size", "bad_words_ids"),
    **_harmless("only generating text reads it", "encoder_no_repeat_ngram_size", "num_return_sequences"),
    **_harmless("only generating text reads it", "output_scores", "return_dict_in_generate", "forced_bos_token_id"),
    **_harmless("only generating text reads it", "forced_eos_token_id", "remove_invalid_values", "suppress_tokens"),
    **_harmless("only generating text reads it", "exponential_decay_length_penalty", "begin_suppress_tokens"),
    **_harmless("only generating text reads it", "num_beams", "num_beam_groups", "diversity_penalty", "prefix"),
    **_harmless("only decoders read it", "use_cache", "cross_attention_hidden_size", "tie_encoder_decoder"),
    **_harmless("only decoders read it", "decoder_start_token_id"),
    **_harmless("there are no output embeddings to tie", "tie_word_embeddings"),
    **_harmless("the rows of embeddings are the file's; padding is masked", "pad_token_id"),
    **_harmless("the tokenizer says which tokens are special", "bos_token_id", "eos_token_id", "sep_token_id"),
    **_harmless("only training reads it", "initializer_range", "gradient_checkpointing", "tf_legacy_loss"),
    **_harmless("only training reads it", "finetuning_task", "task_specific_params"),
    **_harmless("id2label names the classes; where they disagree it is told", "label2id"),
    **_harmless("16-bit weights are widened: arithmetic is up to --precision", "dtype", "torch_dtype", "use_bfloat16"),
    **_harmless("another program for the same attention", "attn_implementation", "_attn_implementation"),
    **_harmless("another program for the same attention", "_attn_implementation_internal"),
    **_harmless("the same arithmetic in parts", "chunk_size_feed_forward"),
    **_harmless("where the file came from", "_name_or_path", "name_or_path", "_commit_hash", "transformers_version"),
    # Older versions, and the files that BERT's authors published, left these behind.
    **_harmless("a leftover that nothing reads", "_num_labels", "_output_attentions", "output_past", "directionality"),
    **_harmless("a leftover that nothing reads", "pooler_fc_size", "pooler_num_attention_heads", "pooler_type"),
    **_harmless("a leftover that nothing reads", "pooler_num_fc_layers", "pooler_size_per_head", "tie_weights_"),
}
_BERT = {
    **_honoured("layers.read_shape: sizes, which the tensors have to have", "hidden_size", "num_hidden_layers"),
    **_honoured("layers.read_shape: sizes, which the tensors have to have", "intermediate_size", "type_vocab_size"),
    **_honoured("layers.read_shape: part of the arithmetic", "num_attention_heads", "hidden_act", "layer_norm_eps"),
    **_harmless("only training drops units", "hidden_dropout_prob", "attention_probs_dropout_prob"),
    **_harmless("only training drops units", "classifier_dropout"),
}
_DISTILBERT = {
    **_honoured("layers.read_shape: sizes, which the tensors have to have", "dim", "n_layers", "hidden_dim"),
    **_honoured("layers.read_shape: part of the arithmetic", "n_heads", "activation"),
    **_honoured("layers.read_shape: transformers' second names of sizes", "hidden_size", "num_hidden_layers"),
    **_honoured("layers.read_shape: transformers' second names of sizes", "num_attention_heads"),
    **_harmless("only how positions begin before training: their embeddings are the file's", "sinusoidal_pos_embds"),
    **_harmless("only training drops units", "dropout", "attention_dropout", "seq_classif_dropout", "qa_dropout"),
}
KEYS = {"bert": _COMMON | _BERT, "distilbert": _COMMON | _DISTILBERT}
_CLASSES = {"bert": "Bert", "distilbert": "DistilBert"}  # how transformers' class names begin
_HEAD = "ForSequenceClassification"  # how they end
_UNTRAINED = ("Model", "ForMaskedLM", "ForPreTraining")


def check_keys(config: Mapping[str, Any], architecture: str, *, flatten: bool = False, base: bool = False) -> list[str]:
    """What a user should know of a config.json, each as one line.

    Args:
        config: its content.
        architecture: a key of `KEYS`.
        flatten: whether the head is this project's own, so that the file's network is a bare encoder.
        base: whether the network is yet to be trained; then it may have any head.

    Raises:
        ModelError: a key would change what the network computes in a way that is not followed.
    """
    known = KEYS[architecture]
    for name, value in config.items():
        key = known.get(name)
        if key is not None and key.use is Use.FIXED and value not in key.only:
            wanted = " or ".join(json_name(allowed) for allowed in reversed(key.only))
            raise ModelError(
                f"config.json has {name} {_short(value)}, with which {key.why}; that network is not computed here",
                expected=f"{wanted}, or no {name}",
            )
    if not base:
        _check_class(config.get("architectures"), _CLASSES[architecture] + ("Model" if flatten else _HEAD))
    return list(_notes(config, known, architecture))


def _check_class(named: Any, wanted: str) -> None:
    """Raise ModelError unless `wanted`, or its TensorFlow twin, is among the classes that are named, or none is."""
    names = [named] if isinstance(named, str) else named or []
    classes = [str(name).removeprefix("TF") for name in names] if isinstance(names, list) else [""]
    if classes and wanted not in classes:
        bare = classes[0].endswith(_UNTRAINED)
        raise ModelError(
            f"config.json has architectures {_short(named)}{', a network without a trained head' if bare else ''}",
            expected=f"[{wanted!r}]",
            remedy="fine-tune it first, for instance with jobs.finetune, or, if the weights are one, mend config.json"
            if bare
            else "give a sequence classifier; other heads, and networks of one's own code, compute something else",
        )


def _notes(config: Mapping[str, Any], known: Mapping[str, Key], architecture: str) -> Iterator[str]:
    strange = sorted(str(name) for name in config if name not in known)
    if strange:
        more = f" and {len(strange) - _SHOWN} more" if len(strange) > _SHOWN else ""
        yield (
            f"config.json has {', '.join(strange[:_SHOWN])}{more}, which neither ig-worker nor transformers' "
            f"{_CLASSES[architecture]} reads: left aside"
        )
    names, numbers = config.get("id2label"), config.get("label2id")
    if isinstance(names, dict) and isinstance(numbers, dict):
        twice = [name for i, name in names.items() if str(numbers.get(str(name), i)) != str(i)]
        if twice:
            yield f"config.json gives {twice[0]!r} two numbers, in id2label and in label2id; id2label counts"


def json_name(value: Any) -> str:
    """A value as JSON writes it."""
    return {None: "null", False: "false", True: "true"}.get(value, repr(value)) if value != {} else "{}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
