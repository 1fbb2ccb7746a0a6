"""Extractors, one file each; the file's name is what `--audio` and `--visual` call it."""
