"""What the tests of hyper_alignment, hyper_single and hyper_multiple share: a small task and their loss in loops."""

import math

import torch

from avshot.method import Inputs
from avshot.registry import create_method
from avshot.types import Batch, Classes, Features

INPUTS = Inputs(audio=10, visual=12, text={"w2v": 8})
SMALL = {"hidden": 16, "width": 12, "embedding": 6, "heads": 2, "head_dim": 5, "feedforward": 7}
AVCA_TERMS = ("triplet", "reconstruction", "decoded_triplet", "word_triplet", "regularisation")


def make_batch(size=7, seed=1):
    """Clips of five classes with negatives, in double precision."""
    generator = torch.Generator().manual_seed(seed)
    text = torch.nn.functional.normalize(torch.randn(5, 8, generator=generator, dtype=torch.float64), dim=1)
    classes = Classes(tuple("abcde"), {"w2v": text}, torch.ones(5, dtype=torch.bool))

    def clips(labels, negative=None):
        audio, visual = (torch.randn(size, n, generator=generator, dtype=torch.float64) for n in (10, 12))
        return Batch(Features.averaged(audio, visual), labels, classes, negative)

    labels = torch.arange(size) % 5
    return clips(labels, clips((labels + 2) % 5))


def small(name, **overrides):
    """The method in double precision and eval mode; a curvature of 0.3 bends the small embeddings."""
    torch.manual_seed(0)
    return create_method(name, INPUTS, preset="ucf-main", **(SMALL | {"curvature": 0.3} | overrides)).double().eval()


def naive_alignment(phi_a, phi_v, curvatures, compare):
    """One batch: the mean over curvatures and pairs of clips, squared; `curvatures[i]` are those of clip i."""
    total, clips, spaces = 0.0, len(phi_a), len(curvatures[0])
    for k in range(spaces):
        for i in range(clips):
            for j in range(clips):
                own, other = curvatures[i][k], curvatures[j][k]
                v, a = (compare(phi[i].tolist(), phi[j].tolist(), own, other) for phi in (phi_v, phi_a))
                total += (v - a) ** 2
    return total / (spaces * clips**2)


def length(vector):
    return math.sqrt(sum(x * x for x in vector))


def geodesic(u, v, c_u, c_v):
    """Distance of two tangent vectors in the ball of their mean curvature, through the ball itself."""
    c = (c_u + c_v) / 2

    def into_ball(vector):
        n = length(vector)
        return [math.tanh(math.sqrt(c) * n) * x / (math.sqrt(c) * n) for x in vector]

    if u == v:
        return 0.0
    x, y = into_ball(u), into_ball(v)
    apart = length([p - q for p, q in zip(x, y, strict=True)]) ** 2
    return math.acosh(1 + 2 * c * apart / ((1 - c * length(x) ** 2) * (1 - c * length(y) ** 2))) / math.sqrt(c)


def released(u, v, c_u, c_v):
    """Clip each to the ball of its curvature, take the logarithm, compare by cosine: what the authors' code does."""

    def tangent(vector, c):
        longest = 0.999 / math.sqrt(c)
        if length(vector) > longest:
            vector = [x * longest / length(vector) for x in vector]
        reach = math.sqrt(c) * length(vector)
        return [math.atanh(reach) * x / reach for x in vector]

    x, y = tangent(u, c_u), tangent(v, c_v)
    return sum(p * q for p, q in zip(x, y, strict=True)) / (length(x) * length(y))


COMPARE = {"geodesic": geodesic, "cosine": released}


def expected_alignment(model, batch, curvatures_of, rows=slice(None)):
    """The weighted term of the loss; `curvatures_of(phi_a, phi_v)` gives a list of curvatures of one clip."""
    total = 0.0
    for part in (batch, batch.negative):
        phi_a, phi_v = (phi[rows] for phi in model.net.embed(part.features)[:2])
        curvatures = [curvatures_of(a, v) for a, v in zip(phi_a, phi_v, strict=True)]
        total += naive_alignment(phi_a, phi_v, curvatures, COMPARE[model.config.compare])
    return model.config.alignment * total


def learnt(model):
    """The curvatures of one clip as the code computes them: scale * sigmoid(linear([visual, audio]))."""
    weight, bias = model.alignment.curve.weight.tolist(), model.alignment.curve.bias.tolist()

    def of(phi_a, phi_v):
        inputs = phi_v.tolist() + phi_a.tolist()
        logits = [b + sum(w * x for w, x in zip(row, inputs, strict=True)) for row, b in zip(weight, bias, strict=True)]
        return [model.config.curvature / (1 + math.exp(-x)) for x in logits]

    return of


def curvature_gradient(model, batch):
    """The largest gradient of the alignment, unweighted, with respect to the map that makes the curvatures."""
    model.zero_grad(set_to_none=True)
    (model.loss(batch)["alignment"] / model.config.alignment).backward()
    return max(float(p.grad.abs().max()) for p in model.alignment.parameters())
