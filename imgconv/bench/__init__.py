"""This machine's table: every method of imgconv, and every peer that is installed, on the same work.

`works` says what is done, `imgconv.peers` how each library does it, `commands` how whole programs do it; `measure` runs
them turn by turn; `costs` holds the planner's constants against the clock; `chart` draws.
"""
