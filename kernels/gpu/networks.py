# SPDX-License-Identifier: GPL-3.0-or-later
"""Sequences packed for network.glsl: all weights in one texture, and the table of where they lie.

A texel holds four numbers. Of a hidden layer with matrix W (outputs, inputs), both padded to whole texels with zeros:

- `weights`: texel k * (outputs / 4) + t is W[4 t : 4 t + 4, k], for evaluation;
- `biases`: texel t is b[4 t : 4 t + 4];
- `transposed`: texel o * (inputs / 4) + t is W[o, 4 t : 4 t + 4], for the gradient.

The last layer has one output: texel t is W[0, 4 t : 4 t + 4].

A last hidden layer of a single unit, which bounds a residual (see `networks.Network.bound`), is not one of these
layers: a work group would spend as long on it as on a wide one. It takes the last layer's place, and its activation,
scale and offset are applied to what that gives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..networks import Network
from ..sequence import NestedSequence
from .device import UnsupportedNetworkError

# Invocations of a work group.
THREADS = 64
# vec4 that each of them computes of one layer. More means fewer fetches of weights for each multiply-add; compilers
# of software drivers take long over large tiles, and do no better with them.
TILE_TEXELS = 16
SOFTWARE_TILE_TEXELS = 8

# Points that a work group holds at most.
POINTS = 128

# Every invocation computes at most this many texels of outputs at each of its points.
MOST_TILE_OUTPUTS = 2
WIDEST = 4 * MOST_TILE_OUTPUTS * THREADS

# Hidden layers whose derivatives an invocation keeps for the gradient.
DEEPEST = 16

# Rows of the parameters for each network.
NETWORK_ROWS = 3

# The texture's width is a power of two, so that addresses are made by shift and mask.
TEXTURE_SHIFT = 10

# float32 counts exactly up to here, and the table of texels is float32.
MOST_TEXELS = 1 << 24

ACTIVATION_KINDS = {"sine": 0, "relu": 1, "elu": 2, "tanh": 3, "softplus": 4}

# Parameters come in multiples of so many vec4, so that sequences of nearly the same size share compiled shaders.
PARAMETER_STEP = 32
# Likewise shared memory, in vec4.
ACTIVATION_STEP = 256


def _texels(values: np.ndarray) -> np.ndarray:
    """(..., N) padded with zeros to whole texels: (..., ceil(N / 4), 4)."""
    missing = -values.shape[-1] % 4
    padded = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, missing)])
    return padded.reshape(*values.shape[:-1], -1, 4)


def _padded_rows(matrix: np.ndarray) -> np.ndarray:
    """A matrix with rows of zeros to a multiple of four."""
    return np.pad(matrix, [(0, -len(matrix) % 4), (0, 0)])


def _tiles(width: int) -> int:
    """Texels that hold `width` numbers."""
    return -(-width // 4)


def _has_unit(network: Network) -> bool:
    """Whether the last hidden layer is a single unit with others before it."""
    return len(network.widths) > 1 and network.widths[-1] == 1


class _Texture:
    """Texels one after the other."""

    def __init__(self) -> None:
        self._parts: list[np.ndarray] = []
        self.count = 0

    def add(self, texels: np.ndarray) -> int:
        """Append (..., 4) texels; returns the index of the first."""
        first = self.count
        self._parts.append(np.ascontiguousarray(texels, dtype=np.float32).reshape(-1, 4))
        self.count += len(self._parts[-1])
        return first

    def pixels(self) -> np.ndarray:
        """(H, 2 ** TEXTURE_SHIFT, 4) with zeros at the end."""
        texels = np.concatenate(self._parts)
        width = 1 << TEXTURE_SHIFT
        return np.pad(texels, [(0, -len(texels) % width), (0, 0)]).reshape(-1, width, 4)


@dataclass(frozen=True)
class PackedSequence:
    """The networks of a sequence, or of some of its levels, as network.glsl reads them.

    Attributes:
        pixels: (H, W, 4) float32, the texture `weights`.
        networks: (3 N, 4) three rows a network: first layer (row of `layers`), hidden layers, points of a batch, kind
            of activation; texel of the last layer, its bias, length of a row of activations, 1 where its output goes
            through a single unit, or 0; scale and offset of that unit's output.
        layers: (L, 4) one row a hidden layer: texels of weights, biases and transposed weights, outputs in texels.
        tile_outputs, tile_points: an invocation computes so many texels of outputs at so many points.
        activation_texels: shared memory for one layer of one batch, in vec4.
        deepest: hidden layers of the deepest network, single units not counted.
        activations: the kinds in use.
    """

    pixels: np.ndarray
    networks: np.ndarray
    layers: np.ndarray
    tile_outputs: int
    tile_points: int
    activation_texels: int
    deepest: int
    activations: frozenset[str]

    def table(self, first_row: int) -> np.ndarray:
        """The rows for the parameters, (R, 4) float32, when they begin at `first_row` of them."""
        networks = self.networks.copy()
        networks[::NETWORK_ROWS, 0] += first_row + len(networks)
        return np.concatenate([networks, self.layers]).astype(np.float32)

    def loop_iterations(self, first: int, last: int) -> np.ndarray:
        """How many iterations of its loops an invocation takes at most to evaluate networks `first` to `last`.

        Returns:
            (2,) the iterations whatever the number of points, and those for each point. The gradient takes less than
            twice as many.
        """
        total = np.zeros(2)
        heads = self.networks[NETWORK_ROWS * first : NETWORK_ROWS * (last + 1) : NETWORK_ROWS]
        for row, hidden, batch, _ in heads.astype(int):
            tiles = self.layers[row : row + hidden, 3]
            # One for each texel of inputs of each layer and for each row of sums over the last layer; some more, as
            # counted on llvmpipe, for each layer and for the batch.
            of_batch = 1 + tiles[:-1].sum() + np.ceil(tiles[-1] / self.tile_outputs) + 4 * hidden + 16
            total += of_batch, of_batch / batch
        return total

    def constants(self, networks_at: int, gradient: bool) -> dict[str, int]:
        """The constants of network.glsl.

        Args:
            networks_at: row of the parameters at which `table` begins.
            gradient: compile the gradient as well.

        Raises:
            UnsupportedNetworkError: a network is too deep for the gradient.
        """
        constants = {
            "THREADS": THREADS,
            "POINTS": POINTS,
            "TILE_OUTPUTS": self.tile_outputs,
            "TILE_POINTS": self.tile_points,
            "ACTIVATION_TEXELS": self.activation_texels,
            "TEXTURE_SHIFT": TEXTURE_SHIFT,
            "TEXTURE_MASK": (1 << TEXTURE_SHIFT) - 1,
            "NETWORKS_AT": networks_at,
            "NETWORK_ROWS": NETWORK_ROWS,
        }
        for name, kind in ACTIVATION_KINDS.items():
            constants[name.upper()] = kind
            if name in self.activations:
                constants[f"USES_{name.upper()}"] = 1
        if gradient:
            if self.deepest > DEEPEST:
                raise UnsupportedNetworkError(
                    f"a network of {self.deepest} hidden layers is deeper than supported on the GPU ({DEEPEST})"
                )
            constants["GRADIENT_LAYERS"] = -(-self.deepest // 4) * 4
        return constants


def parameter_count(rows: int) -> int:
    """`rows` rounded up so that sequences of nearly the same size share shaders."""
    return -(-rows // PARAMETER_STEP) * PARAMETER_STEP


def padded(rows: np.ndarray) -> np.ndarray:
    """Rows of parameters, with zeros to `parameter_count`."""
    return np.pad(rows, [(0, parameter_count(len(rows)) - len(rows)), (0, 0)]).astype(np.float32)


def _batch(network: Network, tile_outputs: int, tile_points: int) -> int:
    """Points that a work group evaluates at a time: as many as its invocations have tiles for."""
    rows = -(-_tiles(max(network.widths)) // tile_outputs)
    return min(POINTS, tile_points * (THREADS // rows))


def _stride(batch: int) -> int:
    """Texels from one row of activations to the next: odd, unless rows are so short that it hardly matters."""
    texels = batch // 4
    return texels + 1 if texels >= 4 else texels


def pack(sequence: NestedSequence, tile_texels: int = TILE_TEXELS) -> PackedSequence:
    """A sequence's networks for the GPU.

    Args:
        tile_texels: vec4 that an invocation computes of one layer: 8 or 16.

    Raises:
        UnsupportedNetworkError: a network is wider than supported or has no hidden layer, there are too many weights,
            or the sequence does not have three inputs.
    """
    if sequence.inputs != 3:
        raise UnsupportedNetworkError("only a sequence of three inputs can be traced")
    widths = [width for network in sequence.networks for width in network.widths]
    if any(not network.widths for network in sequence.networks):
        raise UnsupportedNetworkError("a network without hidden layers is not supported on the GPU")
    if max(widths) > WIDEST:
        raise UnsupportedNetworkError(f"a network {max(widths)} wide is wider than supported on the GPU ({WIDEST})")
    tile_outputs = next(count for count in (1, 2) if _tiles(max(widths)) <= count * THREADS)
    tile_points = tile_texels // tile_outputs
    texture, heads, layers, activation_texels = _Texture(), [], [], 0
    for network in sequence.networks:
        batch = _batch(network, tile_outputs, tile_points)
        stride = _stride(batch)
        first_layer, has_unit = len(layers), _has_unit(network)
        hidden = len(network.widths) - has_unit
        for weight, bias in zip(network.weights[:hidden], network.biases[:hidden], strict=True):
            layers.append(
                [
                    texture.add(_texels(_padded_rows(np.asarray(weight).T))),
                    texture.add(_texels(np.asarray(bias))),
                    texture.add(_texels(_padded_rows(np.asarray(weight)))),
                    _tiles(len(bias)),
                ]
            )
        last = texture.add(_texels(np.asarray(network.weights[hidden])))
        kind = ACTIVATION_KINDS[network.activation]
        heads.append([first_layer, hidden, batch, kind])
        heads.append([last, float(np.asarray(network.biases[hidden])[0]), stride, has_unit])
        outer = network.weights[-1], network.biases[-1]
        heads.append([*(float(np.asarray(each).ravel()[0]) for each in outer), 0.0, 0.0] if has_unit else [0.0] * 4)
        tiles = _tiles(max(network.widths))
        # Activations need four rows a tile, partial gradients one of a texel a point.
        activation_texels = max(activation_texels, 4 * tiles * stride, tiles * (batch + 1))
    if texture.count > MOST_TEXELS:
        raise UnsupportedNetworkError(
            f"a sequence of {sequence.parameter_count} weights is larger than supported on the GPU"
        )
    return PackedSequence(
        texture.pixels(),
        np.array(heads, dtype=np.float64),
        np.array(layers, dtype=np.float64),
        tile_outputs,
        tile_points,
        -(-activation_texels // ACTIVATION_STEP) * ACTIVATION_STEP,
        max(len(network.widths) - _has_unit(network) for network in sequence.networks),
        frozenset(network.activation for network in sequence.networks),
    )


def summed_networks(sequence: NestedSequence, level: int) -> tuple[int, int]:
    """First and last of the networks whose sum is the distance of a level."""
    summed = sequence.summed(level)
    return summed[0], summed[-1]
