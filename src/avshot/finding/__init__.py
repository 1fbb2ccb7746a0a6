"""From recordings to events: files of any length are read once, described, scored in time and cut into events."""
