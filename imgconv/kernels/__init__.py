"""What to apply: the Kernel value, the catalogue, the files, and the grammar of `-k`."""
