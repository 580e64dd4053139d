"""Everything that can run a bundle, behind one interface; each in a process of its own, with every result kept.

`device` says what a device is, `own` has ours, `finding` lists those of a target; `worker` is the process that runs
one, `supervisor` watches it, `journal` keeps what it finished.
"""
