"""The tree as it was: rebuilt from the events of the history."""
