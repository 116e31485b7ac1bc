"""How much arithmetic an evaluation is: floating-point operations (FLOP) of its matrix products.

A product of [m, k] with [k, n] counts 2mkn. Symbols: T tokens, L blocks of width H, N heads, feed-forward width F.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Sizes of a BERT or DistilBERT classifier with a head on [CLS], explained at the embeddings."""

    blocks: int
    hidden: int
    heads: int
    intermediate: int
    logits: int = 2


@dataclass(frozen=True)
class Products:
    """FLOP of a forward pass, by what is multiplied."""

    weights: int = 0  # activations with weights
    activations: int = 0  # activations with activations: attention's scores and contexts

    def __add__(self, other: Products) -> Products:
        return Products(self.weights + other.weights, self.activations + other.activations)

    def __mul__(self, times: int) -> Products:
        return Products(self.weights * times, self.activations * times)

    @property
    def forward(self) -> int:
        return self.weights + self.activations

    @property
    def evaluation(self) -> int:
        """Forward and backward.

        Of y = xW the way back takes x̄ = ȳWᵀ, as many operations again, and not the weights' own xᵀȳ. Of a product of
        two activations it takes both gradients, twice as many.
        """
        return 2 * self.weights + 3 * self.activations


def unpruned(sizes: Sizes, T: int) -> Products:
    """A forward pass as alibi and captum run it: everything for every token."""
    return (_projections(sizes, T) + _rest_of_block(sizes, T)) * sizes.blocks + _head(sizes)


def pruned(sizes: Sizes, T: int) -> Products:
    """A forward pass as the fused engine runs it at one point of a path.

    * First block: its queries, keys and values are affine in α. They are known from the path's ends (`per_review`) and
      interpolated element by element; on the way back each one's share of an attribution is its own step along the path
      times its own gradient, again element by element.
    * Blocks between: all of a block.
    * Last block: one query row q. Its scores are (q W_kᵀ) · h_t and its context is (Σ_t p_t h_t) W_v, so no product
      of all tokens with a matrix is left:

          q, q W_kᵀ, W_v, output projection     4 · 2H²
          feed-forward                          2 · 2HF
          scores, context                       2 · 2THN

    A network of one block has only a last one.
    """
    H = sizes.hidden
    last = Products(4 * 2 * H * H + 2 * 2 * H * sizes.intermediate, 2 * 2 * T * H * sizes.heads) + _head(sizes)
    if sizes.blocks == 1:
        return last
    between = (_projections(sizes, T) + _rest_of_block(sizes, T)) * (sizes.blocks - 2)
    return _rest_of_block(sizes, T) + between + last


def per_review(sizes: Sizes, T: int) -> int:
    """What the fused engine computes once a review: the first block's projections at both ends of its path."""
    return 0 if sizes.blocks == 1 else 2 * _projections(sizes, T).forward


def _projections(sizes: Sizes, T: int) -> Products:
    """A block's queries, keys and values: 3 · 2TH²."""
    return Products(3 * 2 * T * sizes.hidden**2)


def _rest_of_block(sizes: Sizes, T: int) -> Products:
    """Output projection 2TH², feed-forward 2 · 2THF; scores and context 2 · 2T²H over all heads together."""
    H = sizes.hidden
    return Products(2 * T * H * H + 2 * 2 * T * H * sizes.intermediate, 2 * 2 * T * T * H)


def _head(sizes: Sizes) -> Products:
    """The head on one row: 2H² + 2H · logits."""
    return Products(2 * sizes.hidden**2 + 2 * sizes.hidden * sizes.logits)
