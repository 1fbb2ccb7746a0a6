"""Layers written out in NumPy, one kernel place after the other: witnesses for networks with released names.

Arrays are `[channel, *space]` of one item, float64; `state` holds tensors by their names.
"""

import itertools
import math

import numpy as np


def numbers(state):
    return {name: value.double().numpy() for name, value in state.items()}


def conv(state, at, x, stride=1, pad=0):
    """`x` slid under every place of the kernel."""
    kernel = state[f"{at}.weight"]
    spread = kernel.ndim - 2
    stride, pad = (value if isinstance(value, tuple) else (value,) * spread for value in (stride, pad))
    x = np.pad(x, [(0, 0), *((p, p) for p in pad)])
    sizes = [(n - k) // s + 1 for n, k, s in zip(x.shape[1:], kernel.shape[2:], stride, strict=True)]
    out = np.zeros((len(kernel), *sizes))
    for place in itertools.product(*map(range, kernel.shape[2:])):
        part = x[
            (slice(None), *(slice(p, p + (n - 1) * s + 1, s) for p, n, s in zip(place, sizes, stride, strict=True)))
        ]
        out += np.tensordot(kernel[(slice(None), slice(None), *place)], part, axes=1)
    return out + state[f"{at}.bias"].reshape(-1, *[1] * spread) if f"{at}.bias" in state else out


def batch(state, at, x):
    shape = (-1, *[1] * (x.ndim - 1))
    mean, spread = state[f"{at}.running_mean"], np.sqrt(state[f"{at}.running_var"] + 1e-5)
    scaled = (x - mean.reshape(shape)) / spread.reshape(shape)
    return scaled * state[f"{at}.weight"].reshape(shape) + state[f"{at}.bias"].reshape(shape)


def relu(x):
    return np.maximum(x, 0)


def pool(x, size, stride, before=0, after=0, fill=-np.inf):
    """Maxima of windows, the last of which may reach over the end; `fill` stands around."""
    spread = x.ndim - 1
    size, stride, before, after = (v if isinstance(v, tuple) else (v,) * spread for v in (size, stride, before, after))
    x = np.pad(x, [(0, 0), *zip(before, after, strict=True)], constant_values=fill)
    counts = [math.ceil((n - k) / s) + 1 for n, k, s in zip(x.shape[1:], size, stride, strict=True)]
    out = np.zeros((len(x), *counts))
    for place in itertools.product(*map(range, counts)):
        window = x[(slice(None), *(slice(p * s, p * s + k) for p, s, k in zip(place, stride, size, strict=True)))]
        out[(slice(None), *place)] = window.reshape(len(x), -1).max(axis=1)
    return out


def linear(state, at, x):
    return x @ state[f"{at}.weight"].T + state[f"{at}.bias"]


def mean(x):
    return x.reshape(len(x), -1).mean(axis=1)
