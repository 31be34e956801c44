"""A module that fails to import."""

1 / 0
