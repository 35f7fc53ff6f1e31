"""PNG: chunks, interlace, deflate, and the loops that filter its rows."""
