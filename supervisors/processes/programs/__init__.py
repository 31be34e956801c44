"""Programs as children: any command line, in the life that every process child has."""
