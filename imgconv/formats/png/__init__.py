"""PNG: chunks, codec, deflate, and the loops that filter its rows."""
