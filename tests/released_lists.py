"""Names and shapes of released files, from lists in `tests/nn/nets/released/`.

A line is a kind, a name and sizes: `tensor` as it is, `plain` a weight, `biased` a weight and a bias of its first size,
`norm` a weight and a bias of one size, `batch` batch normalisation of so many channels.
"""

from pathlib import Path

FOLDER = Path(__file__).parent / "nn" / "nets" / "released"


def released_list(name):
    """`{parameter: shape}` of a released file."""
    found = {}
    for line in (FOLDER / f"{name}.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        kind, at, *sizes = line.split()
        shape = tuple(map(int, sizes))
        if kind == "tensor":
            found[at] = shape
            continue
        found[f"{at}.weight"] = shape
        if kind != "plain":
            found[f"{at}.bias"] = shape[:1]
        if kind == "batch":
            found |= {f"{at}.running_mean": shape, f"{at}.running_var": shape, f"{at}.num_batches_tracked": ()}
    return found
