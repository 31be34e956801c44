"""The history: what a row is, how rows reach DuckDB, and how they are asked for."""
