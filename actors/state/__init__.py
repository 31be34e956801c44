"""The file of acknowledged state: one SQLite file for one runtime, one thread that writes it."""
