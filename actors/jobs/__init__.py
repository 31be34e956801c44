"""Units of work and the actors that do them."""
