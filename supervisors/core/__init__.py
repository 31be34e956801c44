"""The whole supervisor as pure functions over immutable state."""
