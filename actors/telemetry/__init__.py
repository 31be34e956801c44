"""Measuring the node and its host."""
