"""Tasks: which folds train, select and test, among which classes, by which metrics."""
