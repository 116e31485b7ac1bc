"""What the device computes along paths: pure functions that `paths` traces.

With several targets the way back is taken in a loop on the device, over one forward pass: so a graph serves any number
of targets, and what it holds of their way back is one target's at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ig_worker.models.inputs import ModelInput
from ig_worker.models.network import SplitNetwork
from ig_worker.models.runtime import tf


def for_each(way_back: Callable[[Any], Any], targets: Any, outputs: Any) -> Any:
    """What `way_back` gives for each entry along the first axis of `targets`, stacked; one after the other.

    Args:
        outputs: the structure of that, of dtypes.
    """
    return tf.map_fn(way_back, targets, fn_output_signature=outputs, parallel_iterations=1)


class PathFunctions:
    """The functions for one network.

    Symbols: rows are numbers of texts within the open group; starts and steps are the layer's output at the baselines,
    and its projections, and how far it is from there to the texts, each float32 [texts, tokens, width].

    Args:
        network: the classifier, cut at the layer.
        keep_hidden: also give the attributions of every hidden unit.
    """

    def __init__(self, network: SplitNetwork, keep_hidden: bool) -> None:
        self._network, self._keep_hidden = network, keep_hidden

    def ends(self, text: ModelInput, base: Any) -> tuple[Any, ...]:
        """Starts, steps, and z at the texts, float32 [texts, units]."""
        network, mask = self._network, text.mask
        inputs, baselines = network.below(text), network.below(text._replace(ids=base))
        at_input, at_baseline = network.project(inputs), network.project(baselines)
        z1 = network.encode(at_input, mask)
        kept = 1 if self._keep_hidden else len(at_input)  # the gradient of h itself is wanted
        steps = [b - a for a, b in zip(at_baseline[:kept], at_input[:kept], strict=True)]
        return list(at_baseline[:kept]), steps, z1

    def whole_text(self, text: ModelInput) -> Any:
        """z of texts, float32 [texts, units]."""
        return self._network.encode(self._network.project(self._network.below(text)), text.mask)

    def readout(self, z: Any) -> Any:
        """The network's outputs, float32 [texts, classes]."""
        return self._network.readout(z)

    def vectors(self, starts: Any, steps: Any, mask: Any, rows: Any, alpha: Any) -> Any:
        """z at one point of each path, float32 [points, units]."""
        _, points = self._points(starts, steps, rows, alpha)
        return self._encode(points, mask, rows)

    def whole(
        self, starts: Any, steps: Any, mask: Any, rows: Any, alphas: Any, weights: Any, *head: Any
    ) -> tuple[Any, ...]:
        """Encode all nodes, integrate through the head, and pull the result back, in one go.

        Args:
            alphas: of the nodes, float32 [sections, n].
            weights: of the scalar, float32 [sections, classes], or of several, [targets, sections, classes].
            head: as `cotangents` has it.

        Returns:
            Each node's share of the attributions, float32 [sections, n, tokens], what `cotangents` gives besides v, and
            the attributions of hidden units where they are kept; all with an axis of targets before, where those are
            several.
        """
        sections, n = tf.unstack(tf.shape(alphas))
        every, alpha = tf.repeat(rows, n), tf.reshape(alphas, [-1])
        ahead, points = self._points(starts, steps, every, alpha)
        with tf.GradientTape(watch_accessed_variables=False, persistent=True) as tape:
            tape.watch(points)
            z = self._encode(points, mask, every)
        through_head = self._through_head(tf.reshape(z, [sections, n, z.shape[-1]]), *head)

        def way_back(w: Any) -> tuple[Any, ...]:
            v, *found = through_head(w)
            gradients = tape.gradient(z, points, output_gradients=tf.reshape(v, tf.shape(z)))
            values, hidden = self._per_token(gradients, ahead)
            if self._keep_hidden:
                hidden = tf.reduce_sum(tf.reshape(hidden, [sections, n, -1, hidden.shape[-1]]), axis=1)
            return tf.reshape(values, [sections, n, -1]), *found, hidden

        return way_back(weights) if weights.shape.rank == 2 else for_each(way_back, weights, (tf.float32,) * 6)

    def cotangents(self, z: Any, weights: Any, *head: Any) -> tuple[Any, ...]:
        """v_s = ∫ ℓ_s(α) ∂F/∂z dα through the head alone, [sections, n, units], and what `error_series` asks for.

        Args:
            z: at the nodes, float32 [sections, n, units].
            weights: as `whole` has them.
            head: z at both ends of the sections, [sections, units], their widths, [sections], and the matrices of a
                `ProductRule` and its `remainders`.
        """
        through_head = self._through_head(z, *head)
        return through_head(weights) if weights.shape.rank == 2 else for_each(through_head, weights, (tf.float32,) * 5)

    def pull(self, starts: Any, steps: Any, mask: Any, rows: Any, alpha: Any, v: Any) -> tuple[Any, Any]:
        """J(α)ᵀv · (h − h') at one point of each path, float32 [points, tokens], and unsummed where that is kept.

        Args:
            v: float32 [points, units], or for several targets [targets, points, units], as is then the result.
        """
        ahead, points = self._points(starts, steps, rows, alpha)
        with tf.GradientTape(watch_accessed_variables=False, persistent=True) as tape:
            tape.watch(points)
            z = self._encode(points, mask, rows)

        def way_back(v: Any) -> tuple[Any, Any]:
            return self._per_token(tape.gradient(z, points, output_gradients=v), ahead)

        return way_back(v) if v.shape.rank == 2 else for_each(way_back, v, (tf.float32,) * 2)

    def _points(self, starts: Any, steps: Any, rows: Any, alpha: Any) -> tuple[list[Any], list[Any]]:
        ahead = [tf.gather(step, rows) for step in steps]
        return ahead, [
            tf.gather(start, rows) + alpha[:, None, None] * step for start, step in zip(starts, ahead, strict=True)
        ]

    def _encode(self, points: Sequence[Any], mask: Any, rows: Any) -> Any:
        parts = self._network.project(points[0]) if self._keep_hidden else points
        return self._network.encode(parts, tf.gather(mask, rows))

    def _per_token(self, gradients: Any, ahead: Any) -> tuple[Any, Any]:
        """Σ_d (h − h') times the gradient, by the chain rule over all parts; and unsummed where that is kept."""
        products = [gradient * step for gradient, step in zip(gradients, ahead, strict=True)]
        values = tf.add_n([tf.reduce_sum(product, axis=-1) for product in products])
        return values, products[0] if self._keep_hidden else tf.zeros([0])

    def _through_head(
        self, z: Any, low: Any, high: Any, width: Any, interpolate: Any, project: Any, half: Any, rest: Any
    ) -> Callable[[Any], tuple[Any, ...]]:
        """What `cotangents` gives, by the weights of one target, [sections, classes]."""
        known = tf.concat([low[:, None], z, high[:, None]], axis=1)
        on_grid = tf.matmul(interpolate[None], known)  # [sections, grid, units]
        flat = tf.reshape(on_grid, [-1, z.shape[-1]])
        grid = tf.shape(on_grid)[1]
        with tf.GradientTape(watch_accessed_variables=False, persistent=True) as tape:
            tape.watch(flat)
            outputs = self._network.readout(flat)

        def way_back(weights: Any) -> tuple[Any, ...]:
            slope = tape.gradient(outputs, flat, output_gradients=tf.repeat(weights, grid, axis=0))  # ∂F/∂z
            g = tf.reshape(slope, tf.shape(on_grid)) * width[:, None, None]
            v = tf.matmul(project[None], g)
            size = tf.norm(g, axis=-1)  # [sections, grid]
            signed = tf.abs(tf.matmul(size, rest, transpose_b=True))
            absolute = tf.matmul(size, tf.abs(rest), transpose_b=True)
            squares = tf.reduce_sum(tf.square(v), axis=-1)
            halved = tf.math.divide_no_nan(tf.reduce_sum(tf.matmul(half[None], g) * v, axis=-1), squares)
            return v, tf.sqrt(squares), signed, absolute, halved

        return way_back
