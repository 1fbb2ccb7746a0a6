"""Formats of files of events, one file each."""
