"""What kernels are applied to: the Picture value, reading it and writing it."""
