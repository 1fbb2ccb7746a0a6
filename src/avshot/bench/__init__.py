"""The bench: rows x datasets x seeds from one file, as one table."""
