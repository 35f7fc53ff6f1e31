"""Many files: which input goes to which target, and doing them with an honest count of what failed."""
