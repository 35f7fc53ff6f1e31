"""This machine's table: every method of imgconv, and every peer that is installed, on the same work.

`works` is the table of works, `imgconv.peers` how libraries do them, `commands` how whole programs do, `folders`
how they do many files, `inside` where the time of one goes, `small` what small pictures cost; `measure` times all of
them in turns; `costs` compares the planner's constants with the clock, `scaling` goes over sizes and threads; `chart`
draws.
"""
