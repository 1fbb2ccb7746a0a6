"""Class names that a Run was not trained with: their texts, and whether its text encoder still is what it was."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from avshot.classes.candidates import joined
from avshot.classes.embed import embed_classes
from avshot.classes.phrase import join_key, phrases, read_descriptions
from avshot.run import Run
from avshot.runs.key import class_changes

_MOST_TEXTS = 2000  # embedded to see whether a text encoder is what it was


def texts_of(run: Run, names: Sequence[str]) -> dict[str, list[str]]:
    """Texts of class names: the Run's prompts, and its descriptions of those that it has (free text has none).

    The descriptions are those of the training, whatever has become of their file.
    """
    experiment, kept = run.experiment, run.info["descriptions"]
    if kept is None and experiment.descriptions is not None and Path(experiment.descriptions).exists():
        kept = read_descriptions(experiment.descriptions)  # a Run of avshot 0.1 has no copy of them
    texts = phrases(names, prompts=experiment.prompts)
    return {name: words + (kept or {}).get(join_key(name), []) for name, words in texts.items()}


def check_space(run: Run) -> None:
    """See whether the Run's text encoder gives its own classes the vectors that they had in training.

    If not, new names would be compared with vectors of another space: other weights under the old name, an edited file
    of word vectors. Where the classes have very many texts, some classes stand for all.

    Raises:
        ValueError: It does not; the message names the text encoder and some of the classes.
    """
    raw, words = run.classes(raw=True), run.info["data"]["phrases"]
    spoken = {name: words.get(name, name) for name in raw.names}
    texts = texts_of(run, list(spoken.values()))
    names = raw.names[:: 1 + sum(map(len, texts.values())) // _MOST_TEXTS]
    phrased = {name: texts[spoken[name]] for name in names}
    now = joined(embed_classes(names, run.experiment.text, phrases=phrased), run.experiment)
    changed = class_changes(raw, now)
    if changed:
        raise ValueError(
            f"The Run in {run.path} cannot take new class names, because these are not what they were in training: "
            f"{'; '.join(changed)}. Bring the files of the text encoder back as they were, or train again."
        )
