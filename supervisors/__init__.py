"""Supervisors keep actors alive: child specs, strategies, intensity, processes, and the node that runs a tree."""
