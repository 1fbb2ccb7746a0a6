"""Frozen encoders, the store of what they make, and extraction over many clips."""
