"""In the loop: a deployed network goes on learning on the device that it runs on.

The device runs the forward pass, EventProp runs backward from the spikes that the device reported, and what was learned
is put on the device again, batch by batch. `tune` is the whole of it, `machine` the device as training sees it,
`observation` what its traces mean, `beginning` where learning begins, `record` what a run keeps of it.
"""
