"""Supervisors keep actors alive: child specs, strategies, restart intensity, processes, and the node that runs a tree."""
