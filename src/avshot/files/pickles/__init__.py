"""Pickles as data: an interpreter that can build plain values and nothing else."""
