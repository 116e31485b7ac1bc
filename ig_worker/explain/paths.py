"""The programs that both engines of product integration run on the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ig_worker.explain.baseline_ends import BaselineEnds
from ig_worker.explain.explanation import Float32
from ig_worker.explain.memory import Memory
from ig_worker.explain.packing import BatchShape
from ig_worker.explain.problems import Problem, batch, scalars
from ig_worker.explain.product import CELLS, TERMS, ProductRule, Spread, head_grid, product_rule, remainders
from ig_worker.models.inputs import ModelInput
from ig_worker.models.network import SplitNetwork
from ig_worker.models.runtime import rounds_products, tf

_WHOLE = 4  # a text's nodes share one batch up to this many times its usual size


@dataclass(frozen=True)
class Section:
    """A part of a path, to be integrated with the rule of its batch."""

    row: int  # of the text within its group
    target: int
    low: float
    high: float
    at_low: Float32  # z there, [units]
    at_high: Float32


@dataclass(frozen=True)
class Integrated:
    """What one batch of sections gives. The first axis is the section."""

    contributions: Float32  # [sections, n, tokens]
    strengths: Float32  # [sections, n]
    signed: Float32  # [sections, TERMS]; see product.error_series
    absolute: Float32
    halved: Float32  # [sections, n]
    hidden: Float32 | None  # [sections, tokens, hidden]
    cost: float  # evaluations of each section

    @classmethod
    def joined(cls, parts: Sequence[Integrated]) -> Integrated:
        """One batch out of several at equal cost."""
        names = ["contributions", "strengths", "signed", "absolute", "halved"]
        names += [] if parts[0].hidden is None else ["hidden"]
        arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        return replace(parts[0], **arrays)


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
        self._network, self._shape, self._cells, self._keep_hidden = network, shape, cells, keep_hidden
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
        """Class probabilities, [texts, classes], from vectors z, [texts, units]."""
        return self._readout(tf.constant(z)).numpy()

    def vectors(self, rows: Sequence[int], alphas: Sequence[float]) -> Float32:
        """z at a point of each of some paths, [points, units]; forward passes alone."""
        paths = self._open_paths()
        points = np.array(rows, np.int32), np.array(alphas, np.float32)
        return self._memory.fit(lambda size: self._at(paths, *points, size), len(rows), paths[2].shape[1])

    def slopes(self, sections: Sequence[Section], n: int, spread: Spread, cells: int) -> tuple[Float32, Float32]:
        """J and ∂F/∂z of whole paths, each along one direction u of z: that of ∫ ∂F/∂z dα.

        Args:
            sections: whole paths.
            n: nodes.
            spread: of them.
            cells: equal parts of [0, 1], which the head's grid is to be summed in.

        Returns:
            J(α_s)ᵀu · (h − h'), [sections, n, tokens], and ∫ ∂F/∂z · u dα over each cell, [sections, cells].
        """
        rule = product_rule(n, spread, self._cells)
        rows, alphas = [section.row for section in sections for _ in range(n)], np.tile(rule.nodes, len(sections))
        z = self.vectors(rows, list(alphas)).reshape(len(sections), n, -1)
        low, high, target, width = self._heads(sections)
        points, weights = head_grid(self._cells)
        sums = tf.constant((weights * (points // (1 / cells) == np.arange(cells)[:, None])).astype(np.float32))
        rest = tf.constant(remainders(n, spread, self._cells).astype(np.float32))
        interpolate = tf.constant(rule.interpolate.astype(np.float32))
        slopes = self._cotangents(z, low, high, target, width, interpolate, sums, sums, rest)[0].numpy()
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
        """Integrate all `sections` with n nodes.

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
        head = (*self._heads(sections), *self._device_matrices(n, spread, rule))
        if piece is None:
            *found, hidden = self._whole(*self._open_paths(), rows, alphas, *head)
        else:
            *found, hidden = self._in_pieces(self._open_paths(), rows, alphas, head, piece)
        contributions, strengths, signed, absolute, halved = (tensor.numpy() for tensor in found)
        kept = hidden.numpy() if self._keep_hidden else None
        cost = float(n) if piece is None else 1.5 * n
        return Integrated(contributions, strengths, signed, absolute, halved, kept, cost)

    def _heads(self, sections: Sequence[Section]) -> tuple[Any, ...]:
        """z at both ends, the target and the width of each section."""
        return (
            tf.constant(np.stack([section.at_low for section in sections])),
            tf.constant(np.stack([section.at_high for section in sections])),
            tf.constant([section.target for section in sections], tf.int32),
            tf.constant([section.high - section.low for section in sections], tf.float32),
        )

    def _in_pieces(self, paths: Any, rows: Any, alphas: Float32, head: Any, size: int) -> tuple[Any, ...]:
        sections, n = alphas.shape
        flat_rows, flat = np.repeat(rows, n), alphas.ravel()
        z = self._at(paths, flat_rows, flat, size)
        v, *found = self._cotangents(tf.reshape(z, [sections, n, z.shape[-1]]), *head)
        v = tf.reshape(v, z.shape).numpy()
        pieces = [slice(i, i + size) for i in range(0, len(flat), size)]
        pulled = [self._pull(*paths, flat_rows[p], flat[p], v[p]) for p in pieces]
        contributions = tf.reshape(tf.concat([values for values, _ in pulled], 0), [sections, n, -1])
        hidden = tf.concat([values for _, values in pulled], 0)
        if self._keep_hidden:
            hidden = tf.reduce_sum(tf.reshape(hidden, [sections, n, *hidden.shape[1:]]), axis=1)
        return contributions, *found, hidden

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
        self._ends = tf.function(self._ends_program, [ModelInput.every(ids), ids], autograph=False)
        starts, steps, z = self._ends.get_concrete_function().structured_outputs
        # The widths of layers stay known: graphs plan with them.
        paths = [tf.nest.map_structure(lambda t: tf.TensorSpec([None, None, t.shape[-1]]), x) for x in (starts, steps)]
        vectors, matrix = tf.TensorSpec([None, z.shape[-1]]), tf.TensorSpec([None, None])
        head = [vectors, vectors, row, real, matrix, matrix, matrix, tf.TensorSpec([TERMS, None])]

        def program(function: Callable[..., Any], *signature: Any) -> Any:
            return tf.function(function, signature, autograph=False)

        self._whole_text = program(self._whole_text_program, ModelInput.every(ids))
        self._vectors = program(self._vectors_program, *paths, ids, row, real)
        self._whole = program(self._whole_program, *paths, ids, row, matrix, *head)
        self._cotangents = program(self._cotangents_program, tf.TensorSpec([None, None, z.shape[-1]]), *head)
        self._pull = program(self._pull_program, *paths, ids, row, real, vectors)
        self._readout = program(self._network.readout, vectors)

    def _ends_program(self, text: ModelInput, base: Any) -> tuple[Any, ...]:
        network, mask = self._network, text.mask
        inputs, baselines = network.below(text), network.below(text._replace(ids=base))
        at_input, at_baseline = network.project(inputs), network.project(baselines)
        z1 = network.encode(at_input, mask)
        kept = 1 if self._keep_hidden else len(at_input)  # the gradient of h itself is wanted
        steps = [b - a for a, b in zip(at_baseline[:kept], at_input[:kept], strict=True)]
        return list(at_baseline[:kept]), steps, z1

    def _whole_text_program(self, text: ModelInput) -> Any:
        return self._network.encode(self._network.project(self._network.below(text)), text.mask)

    def _points(self, starts: Any, steps: Any, rows: Any, alpha: Any) -> tuple[list[Any], list[Any]]:
        ahead = [tf.gather(step, rows) for step in steps]
        return ahead, [
            tf.gather(start, rows) + alpha[:, None, None] * step for start, step in zip(starts, ahead, strict=True)
        ]

    def _encode(self, points: Sequence[Any], mask: Any, rows: Any) -> Any:
        parts = self._network.project(points[0]) if self._keep_hidden else points
        return self._network.encode(parts, tf.gather(mask, rows))

    def _vectors_program(self, starts: Any, steps: Any, mask: Any, rows: Any, alpha: Any) -> Any:
        _, points = self._points(starts, steps, rows, alpha)
        return self._encode(points, mask, rows)

    def _whole_program(self, starts: Any, steps: Any, mask: Any, rows: Any, alphas: Any, *head: Any) -> tuple[Any, ...]:
        """Encode all nodes, integrate through the head, and pull the result back, in one go."""
        sections, n = tf.unstack(tf.shape(alphas))
        every, alpha = tf.repeat(rows, n), tf.reshape(alphas, [-1])
        ahead, points = self._points(starts, steps, every, alpha)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(points)
            z = self._encode(points, mask, every)
        v, *found = self._cotangents_program(tf.reshape(z, [sections, n, z.shape[-1]]), *head)
        gradients = tape.gradient(z, points, output_gradients=tf.reshape(v, tf.shape(z)))
        values, hidden = self._per_token(gradients, ahead)
        if self._keep_hidden:
            hidden = tf.reduce_sum(tf.reshape(hidden, [sections, n, -1, hidden.shape[-1]]), axis=1)
        return tf.reshape(values, [sections, n, -1]), *found, hidden

    def _pull_program(self, starts: Any, steps: Any, mask: Any, rows: Any, alpha: Any, v: Any) -> tuple[Any, Any]:
        ahead, points = self._points(starts, steps, rows, alpha)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(points)
            z = self._encode(points, mask, rows)
        return self._per_token(tape.gradient(z, points, output_gradients=v), ahead)

    def _per_token(self, gradients: Any, ahead: Any) -> tuple[Any, Any]:
        """Σ_d (h − h') times the gradient, by the chain rule over all parts; and unsummed where that is kept."""
        products = [gradient * step for gradient, step in zip(gradients, ahead, strict=True)]
        values = tf.add_n([tf.reduce_sum(product, axis=-1) for product in products])
        return values, products[0] if self._keep_hidden else tf.zeros([0])

    def _cotangents_program(
        self, z: Any, low: Any, high: Any, target: Any, width: Any, interpolate: Any, project: Any, half: Any, rest: Any
    ) -> tuple[Any, ...]:
        """v_s = ∫ ℓ_s(α) ∂F/∂z dα through the head alone, [sections, n, units], and what `error_series` asks for."""
        known = tf.concat([low[:, None], z, high[:, None]], axis=1)
        on_grid = tf.matmul(interpolate[None], known)  # [sections, grid, units]
        flat = tf.reshape(on_grid, [-1, z.shape[-1]])
        grid = tf.shape(on_grid)[1]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(flat)
            chosen = scalars(self._network.readout(flat), tf.repeat(target, grid))
        g = tf.reshape(tape.gradient(chosen, flat), tf.shape(on_grid)) * width[:, None, None]
        v = tf.matmul(project[None], g)
        size = tf.norm(g, axis=-1)  # [sections, grid]
        signed = tf.abs(tf.matmul(size, rest, transpose_b=True))
        absolute = tf.matmul(size, tf.abs(rest), transpose_b=True)
        squares = tf.reduce_sum(tf.square(v), axis=-1)
        halved = tf.math.divide_no_nan(tf.reduce_sum(tf.matmul(half[None], g) * v, axis=-1), squares)
        return v, tf.sqrt(squares), signed, absolute, halved
