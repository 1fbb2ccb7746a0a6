"""Rewards in, a better speaker out: one file each."""
