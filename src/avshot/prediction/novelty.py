"""What the training clips were like, so that prediction can say when a new clip is unlike all of them.

The training clips of a modality are a cloud with lumps (classes, rooms, voices), and what is strange lies between the
lumps or off to the side of all of them, more often than far from the middle. So a new clip's features, averaged over
time and standardised, are taken apart into what the main axes of the cloud hold and what they leave over. The first
part is measured by its distance to the nearest lump (Sun et al., "Out-of-Distribution Detection with Deep Nearest
Neighbors", ICML 2022; lumps as in Sehwag et al., "SSD", ICLR 2021), the second by its length. How far is too far, the
training clips say themselves: each is measured against a cloud that was made without it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from avshot.data.dataset import Dataset

FEWEST = 8  # clips below which nothing is called usual
LEAST = 0.1  # least deviation of a feature, as a fraction of the root mean square deviation of all
AT_ONCE = 256  # clips read at a time
MOST = 1000  # clips that the cloud is made of: more of them change nothing that can be seen, and take long
AXES = 32  # at most, so that the file stays small
PER_AXIS = 4  # clips, at least: as many axes as clips would pass through every one of them
SHARE = 0.99  # of the variance, after which further axes hold nothing
PER_LUMP = 4  # clips, on average: the file holds means of clips, not clips
LUMPS = 128  # at most
ROUNDS = 10  # of k-means
PARTS = 5  # the training clips are cut into, to measure each against the others
ALARMS = 0.01  # share of usual clips that is called strange, where there are clips enough to say so
SLACK = 0.05  # added to the limit, as a share of it, for each time that there are too few clips to say: see `_limit`
TINY = 1e-6


def strangeness(pooled: Tensor, usual: dict[str, Tensor], modality: str) -> Tensor:
    """How far out clips lie, `[clip]`, in units of the farthest that is still usual: above 1 is unlike the training.

    Args:
        pooled: `[clip, dim]` features averaged over time, of clips that have the modality.
        usual: What `what_is_usual` returned, now or in avshot 0.1 (whose Runs have neither axes nor lumps).
        modality: "audio" or "visual"; `usual` must know it (`<modality>/limit`).
    """
    known = {key.partition("/")[2]: value for key, value in usual.items() if key.startswith(f"{modality}/")}
    z = (pooled.double() - known["mean"].double()) / known["deviation"].double()
    if "axes" not in known:
        return z.square().mean(dim=1).sqrt() / known["limit"]
    near, off = _parts(z, known["axes"].double(), known["lumps"].double())
    return _joined(near, off, known["scale"].double()) / known["limit"]


def what_is_usual(
    audio: Tensor, visual: Tensor, has_audio: Tensor, has_visual: Tensor, sources: Sequence[str] | None = None
) -> dict[str, Tensor]:
    """Statistics of training clips' pooled features that `Predictor` compares new clips with.

    Args:
        audio: `[clip, dim_a]` pooled.
        visual: `[clip, dim_v]` pooled.
        has_audio: `[clip]` bool.
        has_visual: `[clip]` bool.
        sources: What each clip was cut from: clips of one source are never measured against each other. None = each
            clip is its own.

    Returns:
        Per modality with at least `FEWEST` clips: `mean` and `deviation` `[dim]`; `axes` `[axis, dim]` and `lumps`
        `[lump, axis]` of the standardised clips; `scale` `[2]`, the usual distance to a lump and off the axes; and
        `limit`, a scalar, the distance that `ALARMS` of the clips exceed when they are measured against the others, or
        of fewer clips than that can say of, somewhat more than the largest.
    """
    names = [str(i) for i in range(len(audio))] if sources is None else list(sources)
    usual: dict[str, Tensor] = {}
    for modality, pooled, real in (("audio", audio, has_audio), ("visual", visual, has_visual)):
        if int(real.sum()) < FEWEST:
            continue
        of = [name for name, there in zip(names, real.tolist(), strict=True) if there]
        found = _cloud(pooled[real].double(), of)
        usual |= {f"{modality}/{key}": value.float().contiguous() for key, value in found.items()}
    return usual


def usual_of(dataset: Dataset, clips: np.ndarray, modality: str = "both") -> dict[str, Tensor]:
    """`what_is_usual` of clips (indices `[clip]` into the dataset's) that were shown with `modality`."""
    rows = []
    for i in range(0, len(clips), AT_ONCE):
        part = dataset.gather(clips[i : i + AT_ONCE]).only(modality)
        rows.append((*part.pooled(), part.has_audio, part.has_visual))  # not the sequences: they stay on disk
    audio, visual, has_audio, has_visual = (torch.cat(column) for column in zip(*rows, strict=True))
    return what_is_usual(audio, visual, has_audio, has_visual, [_source(dataset, int(i)) for i in clips])


def _source(dataset: Dataset, i: int) -> str:
    clip = dataset.clips[i]
    return clip.id if clip.group is None else clip.group


def _cloud(rows: Tensor, sources: Sequence[str]) -> dict[str, Tensor]:
    """The statistics of one modality, in double precision."""
    mean, deviation = _standard(rows)
    picked = torch.linspace(0, len(rows) - 1, min(MOST, len(rows))).long()
    rows, sources = rows[picked], [sources[i] for i in picked.tolist()]
    near, off = _against_others(rows, sources)
    z = (rows - mean) / deviation
    # Where the axes hold everything, what is off them is rounding, or a speck in a feature that never varied.
    least = max(LEAST * float(z.square().sum(dim=1).mean().sqrt()), TINY)
    scale = torch.stack([near.square().mean().sqrt().clamp(min=TINY), off.square().mean().sqrt().clamp(min=least)])
    axes = _axes(z)
    return {
        "mean": mean,
        "deviation": deviation,
        "axes": axes,
        "lumps": _lumps(z @ axes.T),
        "scale": scale,
        "limit": _limit(_joined(near, off, scale)),
    }


def _standard(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation `[dim]`. A feature that hardly varied may vary elsewhere without the clip being strange."""
    deviation = rows.std(dim=0)
    return rows.mean(dim=0), deviation.clamp(min=max(LEAST * float(deviation.square().mean().sqrt()), TINY))


def _axes(z: Tensor) -> Tensor:
    """The directions `[axis, dim]` in which standardised clips vary most, largest first: few, or `SHARE` of it all."""
    centred = z - z.mean(dim=0)
    wide = z.shape[1] > len(z)  # the smaller of both products has the same variances, and takes a fraction of the time
    variances, vectors = torch.linalg.eigh(centred @ centred.T if wide else centred.T @ centred)
    variances, vectors = variances.flip(0).clamp(min=0), vectors.flip(1)
    share = variances.cumsum(dim=0) / variances.sum().clamp(min=TINY)
    count = max(1, min(AXES, len(z) // PER_AXIS, int((share < SHARE).sum()) + 1))
    axes = vectors[:, :count].T @ centred if wide else vectors[:, :count].T
    return axes / axes.norm(dim=1, keepdim=True).clamp(min=TINY)


def _lumps(points: Tensor) -> Tensor:
    """Means `[lump, axis]` of groups of like points, by k-means from points that lie far from each other."""
    count = max(1, min(LUMPS, len(points) // PER_LUMP))
    lumps = _far_apart(points, count)
    for _ in range(ROUNDS):
        own = torch.cdist(points, lumps).argmin(dim=1)
        sums = torch.zeros_like(lumps).index_add_(0, own, points)
        sizes = torch.bincount(own, minlength=count).to(points.dtype)[:, None]
        lumps = torch.where(sizes > 0, sums / sizes.clamp(min=1), lumps)
    return lumps


def _far_apart(points: Tensor, count: int) -> Tensor:
    """Points `[count, axis]`, each the farthest from those before it: no group is left out, however small."""
    picked = [int((points - points.mean(dim=0)).norm(dim=1).argmin())]
    nearest = (points - points[picked[0]]).norm(dim=1)
    while len(picked) < count:
        picked.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, (points - points[picked[-1]]).norm(dim=1))
    return points[picked].clone()


def _parts(z: Tensor, axes: Tensor, lumps: Tensor) -> tuple[Tensor, Tensor]:
    """Distance `[clip]` of standardised clips to the nearest lump along the axes, and length of what is off them."""
    along = z @ axes.T
    off = (z.square().sum(dim=1) - along.square().sum(dim=1)).clamp(min=0).sqrt()
    return torch.cdist(along, lumps).min(dim=1).values, off


def _joined(near: Tensor, off: Tensor, scale: Tensor) -> Tensor:
    """One distance of the two, each in units of what is usual: root mean square."""
    return (((near / scale[0]).square() + (off / scale[1]).square()) / 2).sqrt()


def _against_others(rows: Tensor, sources: Sequence[str]) -> tuple[Tensor, Tensor]:
    """`_parts` `[clip]` of each clip against a cloud made of clips of other sources."""
    order = {source: i for i, source in enumerate(dict.fromkeys(sources))}
    part = torch.tensor([order[source] % PARTS for source in sources])
    near, off = rows.new_zeros(len(rows)), rows.new_zeros(len(rows))
    for i in range(PARTS):
        held, rest = part == i, rows[part != i]
        if not bool(held.any()) or len(rest) < 2:
            continue  # one source has all clips: there are no others
        mean, deviation = _standard(rest)
        z = (rest - mean) / deviation
        axes = _axes(z)
        near[held], off[held] = _parts((rows[held] - mean) / deviation, axes, _lumps(z @ axes.T))
    return near, off


def _limit(distances: Tensor) -> Tensor:
    """The distance that `ALARMS` of the clips exceed.

    Of fewer than 1 / ALARMS clips the largest distance is exceeded by more than that share of others, and a cloud of
    few clips is a poor one. What is added was measured: with 11 training clips of GRID or of the rendered world 15 to
    18 % of the held-out ones were called strange without it, and 3 to 6 % with it.
    """
    few = max(0.0, 1 / (ALARMS * len(distances)) - 1)
    return (distances.quantile(1 - ALARMS) * (1 + SLACK * few)).clamp(min=TINY)
