"""Recordings that users bring: spikes in .npz, in HDF5 that is not ours and in NIR's data files, to one spike file.

What a file does not say of its times, labels or pixels has to be said; nothing of that is guessed.
"""
