"""Simulated features at the sizes of the released benchmarks."""
