"""`load_dataset(spec)`: the one door to datasets, declared, released or simulated."""

from __future__ import annotations

from pathlib import Path

from avshot.data.dataset import Dataset
from avshot.data.unlabelled import no_dataset
from avshot.errors import BadDataset, told_as
from avshot.settings import did_you_mean


@told_as(BadDataset)
def load_dataset(spec: str) -> Dataset:
    """Load a dataset from its one-line description.

    Args:
        spec: Path of a declared dataset (`birds.toml`), `simulated:ucf|activitynet|vggsound`, or a released benchmark
            folder `official:<root>?name=UCF&split=cls&legacy=false`, or of pairs
            `adverbs:<root>?name=air&split=seen&features=<folder>`.

    Raises:
        ValueError: The description is of none of these forms, or what it names is not there.
    """
    kind, _, rest = spec.partition(":")
    if kind == "simulated":
        from avshot.data.simulated.pairs import SIZES, load_simulated_pairs
        from avshot.data.simulated.simulate import load_simulated

        name = rest.partition("?")[0]
        of_pairs = name in SIZES or "adverb" in name
        return load_simulated_pairs(rest) if of_pairs else load_simulated(rest)
    if kind == "official":
        from avshot.data.official.benchmark import load_official_spec

        return load_official_spec(rest)
    if kind == "adverbs":
        from avshot.data.official.adverbs import load_adverbs_spec

        return load_adverbs_spec(rest)
    if spec.endswith(".toml"):
        from avshot.data.manifest import load_manifest

        return load_manifest(spec)
    if Path(spec).is_dir():
        raise BadDataset(no_dataset(spec))
    file = f"{spec}.toml"
    near = (
        f" Did you mean {file!r}?" if Path(file).is_file() else did_you_mean(kind, ("simulated", "official", "adverbs"))
    )
    raise BadDataset(
        f"Dataset {spec!r} is not known; expected the path of a dataset .toml (make one with `avshot dataset`), "
        f"simulated:<name>, official:<root>?name=UCF&split=cls or adverbs:<root>?name=air.{near}"
    )


def load_described(spec: str) -> Dataset:
    """`load_dataset` for training: refuses a dataset without features.

    Raises:
        ValueError: As `load_dataset`, or there are no features; the message says how to get them.
    """
    dataset = load_dataset(spec)
    if dataset.features is None:
        cure = f"make them with `avshot extract {spec}`"
        if not any(clip.path for clip in dataset.clips):
            cure = "import the arrays again with `avshot import`"
        if spec.startswith("adverbs:"):
            cure = "name the released ones: &features=FOLDER"
        if spec.startswith("official:"):
            cure = "put the released ones into the folder features/ of the benchmark (docs/reproduce.md)"
        raise BadDataset(f"Dataset {dataset.name!r} has no features; {cure}.")
    return dataset
