"""Released benchmark folders."""
