"""Files that avshot writes and reads: whole or not at all, one writer at a time, checked when read."""
