"""From kernels and options to what is done with a picture."""
