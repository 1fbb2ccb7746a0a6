"""Recognition before any training: class names and pretrained encoders to scores."""

from avshot.untrained.scorer import Untrained, scorer

__all__ = ["Untrained", "scorer"]
