"""This machine's table: every method of imgconv, and every peer that is installed, on the same work.

`works` is the table of works, `imgconv.peers` how libraries do them, `commands` how whole programs do, `animations` on
many frames, `folders` on many files by what `programs` has; `codecs` what is left where nothing is filtered, `inside`
where the time of a file goes, `small` what small pictures cost; `measure` times all of them in turns; `costs` compares
the planner's constants with the clock, `scaling` goes over sizes and threads; `chart` draws.
"""
