"""Other tools that filter pictures: `table` has what each can do, and how it is called; `task` what they are asked for.

`halide` is compiled for its task, `ipp` by the machine's C compiler; `pillow` has pillow-simd too, in a process of its
own.
"""
