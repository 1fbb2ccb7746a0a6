"""The feature store: shards of tensors and a manifest."""
