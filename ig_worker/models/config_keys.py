"""Every key of a transformers ``config.json``: followed, without effect on what is computed here, or refused.

A test holds the tables to the keys that the installed transformers knows. Needs no TensorFlow.

A key that transformers does not know either is named in one line and not refused. transformers' own BERT and
DistilBERT cannot read it, so it cannot change what they compute; people's files are full of such leftovers; and a
network that needs one is another class (`architectures`, `auto_map`) or has other tensors, which are refused as such.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ig_worker.errors import ModelError
from ig_worker.models.encoders import ENCODERS
from ig_worker.models.encoders.encoder import Encoder
from ig_worker.models.keys import Key, Use, fixed, harmless, honoured, json_name

_SHOWN = 5  # names in a line


_COMMON = {
    **honoured("shape.read_shape: the architecture", "model_type"),
    **honoured("another head than a sequence classifier's is refused", "architectures"),
    **honoured("shape.read_shape: sizes, which the tensors have to have", "vocab_size", "max_position_embeddings"),
    **honoured("shape.read_shape: class names, as many as the head's tensors have rows", "id2label"),
    **honoured("shape.read_shape: the number of classes where id2label is not there", "num_labels"),
    **honoured("shape.read_shape: what the logits say, unless --outputs says otherwise", "problem_type"),
    **honoured("transformers' AutoTokenizer", "tokenizer_class"),
    **honoured("shape.read_shape: the head of jobs.finetune --recipe bert-head", "ig_worker_head"),
    **fixed("attention would be causal", (None, False), "is_decoder"),
    **fixed("the network would be two", (None, False), "is_encoder_decoder"),
    **fixed("its blocks would have one more attention", (None, False), "add_cross_attention"),
    **fixed("its attention would have other heads in each block", (None, {}), "pruned_heads"),
    **fixed("attention would depend on distances too", (None, "absolute"), "position_embedding_type"),
    **fixed("its tensors are not the weights but a code for them", (None,), "quantization_config"),
    **fixed("transformers would take the weights from that file", (None,), "transformers_weights"),
    **fixed("transformers would take another configuration", (None,), "configuration_files"),
    **fixed("the network would be somebody's own code", (None, {}), "auto_map"),
    **harmless("what a call also returns", "output_attentions", "output_hidden_states", "return_dict", "torchscript"),
    **harmless("only generating text reads it", "max_length", "min_length", "do_sample", "early_stopping"),
    **harmless("only generating text reads it", "temperature", "top_k", "top_p", "typical_p", "repetition_penalty"),
    **harmless("only generating text reads it", "length_penalty", "no_repeat_ngram_size", "bad_words_ids"),
    **harmless("only generating text reads it", "encoder_no_repeat_ngram_size", "num_return_sequences"),
    **harmless("only generating text reads it", "output_scores", "return_dict_in_generate", "forced_bos_token_id"),
    **harmless("only generating text reads it", "forced_eos_token_id", "remove_invalid_values", "suppress_tokens"),
    **harmless("only generating text reads it", "exponential_decay_length_penalty", "begin_suppress_tokens"),
    **harmless("only generating text reads it", "num_beams", "num_beam_groups", "diversity_penalty", "prefix"),
    **harmless("only decoders read it", "use_cache", "cross_attention_hidden_size", "tie_encoder_decoder"),
    **harmless("only decoders read it", "decoder_start_token_id"),
    **harmless("there are no output embeddings to tie", "tie_word_embeddings"),
    **harmless("the rows of embeddings are the file's; padding is masked", "pad_token_id"),
    **harmless("the tokenizer says which tokens are special", "bos_token_id", "eos_token_id", "sep_token_id"),
    **harmless("only training reads it", "initializer_range", "gradient_checkpointing", "tf_legacy_loss"),
    **harmless("only training reads it", "finetuning_task", "task_specific_params"),
    **harmless("id2label names the classes; where they disagree it is told", "label2id"),
    **harmless("16-bit weights are widened: arithmetic is up to --precision", "dtype", "torch_dtype", "use_bfloat16"),
    **harmless("another program for the same attention", "attn_implementation", "_attn_implementation"),
    **harmless("another program for the same attention", "_attn_implementation_internal"),
    **harmless("the same arithmetic in parts", "chunk_size_feed_forward"),
    **harmless("where the file came from", "_name_or_path", "name_or_path", "_commit_hash", "transformers_version"),
    # Older versions, and the files that BERT's authors published, left these behind.
    **harmless("a leftover that nothing reads", "_num_labels", "_output_attentions", "output_past", "directionality"),
    **harmless("a leftover that nothing reads", "pooler_fc_size", "pooler_num_attention_heads", "pooler_type"),
    **harmless("a leftover that nothing reads", "pooler_num_fc_layers", "pooler_size_per_head", "tie_weights_"),
}


def _own_keys(encoder: Encoder) -> dict[str, Key]:
    """The keys of an encoder's own."""
    sizes = [key for size, key in encoder.sizes.items() if size != "heads"]
    arithmetic = [encoder.sizes["heads"], encoder.activation, *([encoder.epsilon] if encoder.epsilon else [])]
    return {
        **honoured("shape.read_shape: sizes, which the tensors have to have", *sizes),
        **honoured("shape.read_shape: part of the arithmetic", *arithmetic),
        **honoured("shape.read_shape: transformers' second names of sizes", *encoder.second_names.values()),
        **harmless("only training drops units", *encoder.dropouts),
        **encoder.keys,
    }


KEYS = {name: _COMMON | _own_keys(encoder) for name, encoder in ENCODERS.items()}
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
        _check_class(config.get("architectures"), ENCODERS[architecture].classes + ("Model" if flatten else _HEAD))
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
            f"{ENCODERS[architecture].classes} reads: left aside"
        )
    names, numbers = config.get("id2label"), config.get("label2id")
    if isinstance(names, dict) and isinstance(numbers, dict):
        twice = [name for i, name in names.items() if str(numbers.get(str(name), i)) != str(i)]
        if twice:
            yield f"config.json gives {twice[0]!r} two numbers, in id2label and in label2id; id2label counts"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
