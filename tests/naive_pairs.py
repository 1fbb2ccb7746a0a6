"""What methods for adverbs compute, written out from the formulas: witnesses for their tests."""

import math

import torch

from avshot.nn.pairs import class_of_pair, word_vectors


def naive_attention(model, query, steps):
    """One query `[query_dim]` over the real steps `[time, key_dim]` of one clip: thesis eq. 6.2."""
    found = []
    for head in range(model.heads):

        def own(layer, value, head=head):
            bias = torch.zeros(()) if layer.bias is None else layer.bias
            if model.copies > 1:  # one map for all pieces
                return layer.weight @ value.chunk(model.heads)[head] + bias
            part = slice(4 * head, 4 * head + 4)
            return layer.weight[part] @ value + (bias if layer.bias is None else bias[part])

        asked = own(model.to_q, query)
        logits = [float(asked @ own(model.to_k, step)) / math.sqrt(4) for step in steps]
        total = sum(math.exp(x) for x in logits)
        weights = [math.exp(x) / total for x in logits]
        found.append(sum((w * own(model.to_v, s) for w, s in zip(weights, steps, strict=True)), torch.zeros(4)))
    return model.out.weight @ torch.cat(found) + model.out.bias


def naive_text(model, classes, action, adverb, counted):
    """Equation 6.1 of one pair after another; the batch norm runs over the `counted (action, adverb)` pairs."""
    config = model.config

    def word(part, a, v):
        if part == "pair":
            value = classes.text["words"][class_of_pair(classes)[a, v]]
        else:
            value = word_vectors(classes, part)[a if part == "action" else v]
        return model.project[part].weight @ value + model.project[part].bias

    def network(net, a, v):
        value = torch.cat([word(config.main, a, v), word(config.aux, a, v)])
        mean, variance = net.norm.running_mean, net.norm.running_var
        if net.training:
            rows = torch.stack([torch.cat([word(config.main, *p), word(config.aux, *p)]) for p in counted])
            mean, variance = rows.mean(dim=0), rows.var(dim=0, correction=0)
        value = (value - mean) / (variance + 1e-5).sqrt() * net.norm.weight + net.norm.bias
        for i, layer in enumerate(net.layers):
            if i > 0:
                value = torch.where(value > 0, value, 0.2 * value)
            value = layer.weight @ value + layer.bias
        return value

    found = []
    for a, v in zip(action.tolist(), adverb.tolist(), strict=True):
        gate = network(model.gate, a, v)
        open_by = torch.stack([1 / (1 + torch.exp(-x)) for x in gate]) if config.sigmoid else gate
        out = model.weights[0] * open_by * word(config.main, a, v)
        if config.residual:
            rest = gate if config.share_weights else network(model.residual, a, v)
            out = out + model.weights[1] * rest
        found.append(out)
    return torch.stack(found)
