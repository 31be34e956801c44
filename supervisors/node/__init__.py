"""A node: configuration, assembly, life cycle, single instance, control."""
