"""Service managers of the three systems: what is written and run to have them keep a node."""
