"""Networks and spikes to and from other tools: ONNX, NIR, NetX, checkpoints of mlGeNN, recordings.

What is read is never executed, and nothing that a file says of itself is believed: sizes, types and indices are checked
before memory is taken for them.
"""
