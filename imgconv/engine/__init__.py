"""How it is computed: plan, compiled loops, kept machine code, bands and threads."""
