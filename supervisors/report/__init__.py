"""A report on a span of the history: gathered by SQL, shown as one HTML file or as Markdown."""
