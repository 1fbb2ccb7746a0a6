"""Datasets: declared from own videos, released benchmark folders, a rendered world, simulated features."""
