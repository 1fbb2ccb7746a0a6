"""Metrics as pure functions of scores."""
