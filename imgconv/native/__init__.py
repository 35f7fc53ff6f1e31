"""Machine code: functions are written for LLVM, compiled once, kept, and loaded later without it."""
