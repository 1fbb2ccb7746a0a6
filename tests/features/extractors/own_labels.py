"""Which labels of AudioSet mean the classes of ESC-10, and how often a tagger's likeliest of them is right."""

import csv

import torch

from avshot.media import read

MEANT = {
    "baby crying": ["Baby cry, infant cry"],
    "chainsawing trees": ["Chainsaw"],
    "chicken crowing": ["Crowing, cock-a-doodle-doo"],
    "clock ticking": ["Tick-tock", "Tick"],
    "dog barking": ["Bark"],
    "fire crackling": ["Crackle", "Fire"],
    "helicopter": ["Helicopter"],
    "people sneezing": ["Sneeze"],
    "raining": ["Rain", "Rain on surface", "Raindrop"],
    "sea waves": ["Waves, surf"],
}


def accuracy(tagger, folder, every=1):
    """Share of the sounds whose class has the highest mean logit, of its likeliest label, among the ten classes."""
    place = {label: i for i, label in enumerate(tagger.labels)}
    columns = [[place[label] for label in meant if label in place] for meant in MEANT.values()]
    with open(folder / "labels.csv", newline="") as file:
        rows = list(csv.DictReader(file))[::every]
    right = 0
    for row in rows:
        logits, _ = tagger(read(folder / row["filename"], want_frames=False, **tagger.request()))
        mean = logits.mean(dim=0)
        best = torch.stack([mean[column].max() for column in columns]).argmax()
        right += list(MEANT)[int(best)] == row["label"]
    return right / len(rows)
