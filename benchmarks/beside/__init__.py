"""The parts of `benchmarks/bench.py`: what is measured, who does it, and what is made of it.

`plan` lists the entries, `work` measures one of them in a process of its own, the `of_*` files do
the work as a user of each package would, `floor` measures the machine, `report` turns calls into
ratios and verdicts, and `curves` and `growth` are measurements of their own.
"""
