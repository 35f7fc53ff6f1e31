"""TIFF: tags, strips of a large file as small ones and the other way round, and 16 bits in colour."""
