"""Sampling designs, error matrices, areas with intervals, certified bounds."""
