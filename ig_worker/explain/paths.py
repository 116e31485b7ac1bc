"""The programs that both engines of product integration run on the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

import numpy as np

from ig_worker.explain.baseline_ends import BaselineEnds
from ig_worker.explain.explanation import Float32
from ig_worker.explain.memory import Memory
from ig_worker.explain.packing import BatchShape
from ig_worker.explain.path_functions import PathFunctions
from ig_worker.explain.problems import Problem, batch
from ig_worker.explain.product import CELLS, TERMS, ProductRule, Spread, head_grid, product_rule, remainders
from ig_worker.explain.sections import Integrated, Section
from ig_worker.explain.sharing import share
from ig_worker.models.inputs import ModelInput
from ig_worker.models.network import SplitNetwork
from ig_worker.models.runtime import rounds_products, tf

_WHOLE = 4  # a text's nodes share one batch up to this many times its usual size


class PathPrograms:
    """Ends of paths, points on them, and integrals along them, for the texts of one padded length at a time.

    Every program takes any number of texts, nodes and tokens, so that each is traced once.

    Args:
        network: the classifier, cut at the layer.
        shape: how batches are cut.
        cells: of the head's grid.
        keep_hidden: also give the attributions of every hidden unit.
    """

    def __init__(
        self, network: SplitNetwork, shape: BatchShape, cells: int = CELLS, *, keep_hidden: bool = False
    ) -> None:
        self._functions, self._keep_hidden = PathFunctions(network, keep_hidden), keep_hidden
        self._shape, self._cells = shape, cells
        self._memory = Memory()
        self._trace()
        self.baselines = BaselineEnds(self._encode_alone, rounds_products)
        self._matrices: dict[tuple[int, Spread], tuple[Any, ...]] = {}
        self._paths: tuple[Any, Any, Any] | None = None

    def shared(self, shape: BatchShape, cells: int = CELLS) -> PathPrograms:
        """The same programs, traced already, for batches of another shape and another grid."""
        other = copy(self)
        other._shape, other._cells, other._memory, other._matrices, other._paths = shape, cells, Memory(), {}, None
        return other

    def beside(self) -> PathPrograms:
        """The same programs for another thread: with paths of its own, and the same memory to share."""
        other = copy(self)
        other._paths = None
        return other

    def open(self, problems: Sequence[Problem], length: int) -> tuple[Float32, Float32]:
        """Take up a group of texts of padded `length`; returns z at inputs and at baselines, [texts, units]."""
        inputs = tf.nest.map_structure(tf.constant, batch(problems, len(problems), length))

        def run(size: int) -> tuple[Any, ...]:
            slices = (slice(i, i + size) for i in range(0, len(problems), size))
            parts = [self._ends(*tf.nest.map_structure(lambda t, part=part: t[part], inputs)) for part in slices]
            return parts[0] if len(parts) == 1 else tf.nest.map_structure(lambda *part: tf.concat(part, 0), *parts)

        starts, steps, at_input = self._memory.fit(run, len(problems), length)
        self._paths = (starts, steps, inputs[0].mask)
        return at_input.numpy(), self.baselines(problems, length)

    def _encode_alone(self, text: ModelInput) -> Float32:
        found: Float32 = self._whole_text(ModelInput(*map(tf.constant, text))).numpy()
        return found

    def probabilities(self, z: Float32) -> Float32:
        """The network's outputs, [texts, classes], from vectors z, [texts, units]."""
        return self._readout(tf.constant(z)).numpy()

    def vectors(self, rows: Sequence[int], alphas: Sequence[float]) -> Float32:
        """z at a point of each of some paths, [points, units]; forward passes alone."""
        paths = self._open_paths()
        points = np.array(rows, np.int32), np.array(alphas, np.float32)
        return self._memory.fit(lambda size: self._at(paths, *points, size), len(rows), paths[2].shape[1])

    def slopes(self, sections: Sequence[Section], n: int, spread: Spread, cells: int) -> tuple[Float32, Float32]:
        """J and ∂F/∂z of whole paths, each along one direction u of z: that of ∫ ∂F/∂z dα.

        Args:
            sections: whole paths, with one target each.
            n: nodes.
            spread: of them.
            cells: equal parts of [0, 1], which the head's grid is to be summed in.

        Returns:
            J(α_s)ᵀu · (h − h'), [sections, n, tokens], and ∫ ∂F/∂z · u dα over each cell, [sections, cells].
        """
        rule = product_rule(n, spread, self._cells)
        rows, alphas = [section.row for section in sections for _ in range(n)], np.tile(rule.nodes, len(sections))
        z = self.vectors(rows, list(alphas)).reshape(len(sections), n, -1)
        head = self._heads(sections)
        points, weights = head_grid(self._cells)
        sums = tf.constant((weights * (points // (1 / cells) == np.arange(cells)[:, None])).astype(np.float32))
        rest = tf.constant(remainders(n, spread, self._cells).astype(np.float32))
        interpolate = tf.constant(rule.interpolate.astype(np.float32))
        slopes = self._cotangents(z, _weights(sections), *head, interpolate, sums, sums, rest)[0].numpy()
        whole = slopes.sum(axis=1)
        u = whole / np.maximum(np.linalg.norm(whole, axis=1, keepdims=True), 1e-30)
        samples = self._pulls(rows, alphas.astype(np.float32), np.repeat(u, n, axis=0))
        return samples.reshape(len(sections), n, -1), np.einsum("pcu,pu->pc", slopes, u)

    def _pulls(self, rows: Sequence[int], alphas: Float32, v: Float32) -> Float32:
        """J(α)ᵀv · (h − h') at a point of each of some paths, [points, tokens]."""
        paths, every = self._open_paths(), np.array(rows, np.int32)

        def run(size: int) -> Float32:
            pieces = [slice(i, i + size) for i in range(0, len(rows), size)]
            return np.concatenate([self._pull(*paths, every[p], alphas[p], v[p])[0].numpy() for p in pieces])

        length = paths[2].shape[1]
        return self._memory.fit(run, min(len(rows), self._shape.rows(length)), length)

    def _at(self, paths: Any, rows: Any, alphas: Float32, size: int) -> Float32:
        pieces = [slice(i, i + size) for i in range(0, len(rows), size)]
        return np.concatenate([self._vectors(*paths, rows[p], alphas[p]).numpy() for p in pieces])

    def integrate(self, sections: Sequence[Section], n: int, spread: Spread, length: int) -> Integrated:
        """Integrate all `sections`, which have equally many targets, with n nodes.

        All nodes of a section share a batch, since every z comes before any gradient. Only where those of one
        section would not fit, its gradients are taken in a second pass, which costs the forward passes again.
        """
        rows = self._shape.rows(length)
        whole = n <= _WHOLE * rows

        def run(size: int) -> Integrated:
            piece = None if whole and n <= size else min(rows, size)
            step = max(1, size // n)
            parts = [self._integrate(sections[i : i + step], n, spread, piece) for i in range(0, len(sections), step)]
            return parts[0] if len(parts) == 1 else Integrated.joined(parts)

        return self._memory.fit(run, len(sections) * n if whole else rows, length)

    def _integrate(self, sections: Sequence[Section], n: int, spread: Spread, piece: int | None) -> Integrated:
        """All at once, or in pieces of so many evaluations."""
        rule = product_rule(n, spread, self._cells)
        alphas = np.array([section.low + (section.high - section.low) * rule.nodes for section in sections], np.float32)
        rows = np.array([section.row for section in sections], np.int32)
        weights = _weights(sections)
        head = (*self._heads(sections), *self._device_matrices(n, spread, rule))
        if piece is None:
            program = self._whole if weights.ndim == 2 else self._whole_several
            *found, hidden = program(*self._open_paths(), rows, alphas, weights, *head)
        else:
            *found, hidden = self._in_pieces(self._open_paths(), rows, alphas, weights, head, piece)
        targets = len(sections[0].weights)
        arrays = [tensor.numpy()[None] if targets == 1 else tensor.numpy() for tensor in (*found, hidden)]
        contributions, strengths, signed, absolute, halved, kept = arrays
        # In pieces the forward passes come once more by themselves.
        cost = share(n, targets) + (0.0 if piece is None else 0.5 * n / targets)
        kept = kept if self._keep_hidden else None
        return Integrated(contributions, strengths, signed, absolute, halved, kept, cost)

    def _heads(self, sections: Sequence[Section]) -> tuple[Any, ...]:
        """z at both ends, and the width of each section."""
        return (
            tf.constant(np.stack([section.at_low for section in sections])),
            tf.constant(np.stack([section.at_high for section in sections])),
            tf.constant([section.high - section.low for section in sections], tf.float32),
        )

    def _in_pieces(
        self, paths: Any, rows: Any, alphas: Float32, weights: Float32, head: Any, size: int
    ) -> tuple[Any, ...]:
        sections, n = alphas.shape
        flat_rows, flat = np.repeat(rows, n), alphas.ravel()
        z = self._at(paths, flat_rows, flat, size)
        cotangents, pull = (
            (self._cotangents, self._pull) if weights.ndim == 2 else (self._cotangents_several, self._pull_several)
        )
        v, *found = cotangents(tf.reshape(z, [sections, n, z.shape[-1]]), weights, *head)
        targets = weights.shape[:-2]  # none, or how many
        v = tf.reshape(v, [*targets, *z.shape]).numpy()
        pieces = [slice(i, i + size) for i in range(0, len(flat), size)]
        pulled = [pull(*paths, flat_rows[p], flat[p], v[..., p, :]) for p in pieces]
        contributions = tf.reshape(tf.concat([values for values, _ in pulled], -2), [*targets, sections, n, -1])
        if not self._keep_hidden:
            return contributions, *found, pulled[0][1]
        hidden = tf.concat([values for _, values in pulled], -3)
        return contributions, *found, tf.reduce_sum(tf.reshape(hidden, [*targets, sections, n, *hidden.shape[-2:]]), -3)

    def _open_paths(self) -> tuple[Any, Any, Any]:
        assert self._paths is not None, "open comes first"
        return self._paths

    def _device_matrices(self, n: int, spread: Spread, rule: ProductRule) -> tuple[Any, ...]:
        if (n, spread) not in self._matrices:
            arrays = (rule.interpolate, rule.project, rule.halved, remainders(n, spread, self._cells))
            self._matrices[n, spread] = tuple(tf.constant(array.astype(np.float32)) for array in arrays)
        return self._matrices[n, spread]

    def _trace(self) -> None:
        """Declare the programs over any number of texts, nodes and tokens, so that each is traced once."""
        ids, row, real = tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32), tf.TensorSpec([None])
        functions = self._functions

        def program(function: Callable[..., Any], *signature: Any) -> Any:
            return tf.function(function, signature, autograph=False)

        self._ends = program(functions.ends, ModelInput.every(ids), ids)
        starts, steps, z = self._ends.get_concrete_function().structured_outputs
        # The widths of layers stay known: graphs plan with them.
        paths = [tf.nest.map_structure(lambda t: tf.TensorSpec([None, None, t.shape[-1]]), x) for x in (starts, steps)]
        units, matrix = z.shape[-1], tf.TensorSpec([None, None])
        vectors = tf.TensorSpec([None, units])
        self._readout = program(functions.readout, vectors)
        classes = self._readout.get_concrete_function().structured_outputs.shape[-1]
        one, several = tf.TensorSpec([None, classes]), tf.TensorSpec([None, None, classes])
        head = [vectors, vectors, real, matrix, matrix, matrix, tf.TensorSpec([TERMS, None])]
        every, points = [*paths, ids, row, matrix], [*paths, ids, row, real]
        stacked = tf.TensorSpec([None, None, units])
        self._whole_text = program(functions.whole_text, ModelInput.every(ids))
        self._vectors = program(functions.vectors, *points)
        self._whole = program(functions.whole, *every, one, *head)
        self._whole_several = program(functions.whole, *every, several, *head)
        self._cotangents = program(functions.cotangents, stacked, one, *head)
        self._cotangents_several = program(functions.cotangents, stacked, several, *head)
        self._pull = program(functions.pull, *points, vectors)
        self._pull_several = program(functions.pull, *points, stacked)


def _weights(sections: Sequence[Section]) -> Float32:
    """Of scalars, float32 [sections, classes], or where a section has several, [targets, sections, classes]."""
    weights = np.stack([section.weights for section in sections], axis=1)
    return weights[0] if len(weights) == 1 else weights
