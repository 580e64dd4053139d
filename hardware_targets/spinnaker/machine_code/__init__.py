"""The machine code that sPyNNaker ships, run core by core on an emulated ARM processor.

`machine` is one core with its memories, `neuron_core` and `delay_core` are the two programs, `board` is a whole network
out of the words of its tables, `device` offers it to `delayline validate` as ``arm``.
"""
