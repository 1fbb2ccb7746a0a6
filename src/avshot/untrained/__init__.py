"""Recognition before any training: class names and pretrained encoders to scores."""
