"""Class-embedding optimisation (EZ-AVGZL): move classes apart without losing which class resembles which.

Run: python examples/class_embedding_optimisation.py
"""

from avshot.classes.embed import embed_classes
from avshot.classes.optimise.config import OptimiseConfig
from avshot.classes.optimise.optimise import optimise_classes

PLAYING = ["playing violin", "playing cello", "playing guitar", "playing banjo"]
NAMES = [*PLAYING, "dog barking", "dog howling", "cat purring", "cat meowing", "rain falling", "hail falling"]


def main() -> None:
    classes = embed_classes(NAMES)  # wordllama: its weights come with the package
    for semantic in ("none", "proximity", "ranking"):
        _, outcomes = optimise_classes(classes, OptimiseConfig(semantic=semantic))
        outcome = outcomes["wordllama"]
        print(
            f"{semantic:9s}  nearest neighbours {outcome.mean_before:.2f} -> {outcome.mean_after:.2f} apart in "
            f"{outcome.steps} steps, order kept {outcome.correlation:.2f}, neighbour kept {outcome.kept:.0%}"
        )
    print("\nWith the ranking loss, the default:")
    for i, name in enumerate(NAMES):
        before, after = NAMES[outcome.neighbour_before[i]], NAMES[outcome.neighbour_after[i]]
        print(f"  {name:14s}  {outcome.nearest_before[i]:.2f} {before:14s} -> {outcome.nearest_after[i]:.2f} {after}")


if __name__ == "__main__":
    main()
