"""Sigma-delta encoding: frames of a sensor into events wherever its reading has moved by a threshold.

    a channel holds a level, at first its reading in frame 0; each time the reading, a straight line from frame to
    frame, is `threshold` above the level, the level rises by that much and an ON event is due; below it, OFF

Between two extrema a reading crosses each level once, so the instants are those of an interpolation from extremum to
extremum, which is how the Braille letters were made.

Source: Mueller-Cleve and others 2022, section 2.2; facts/data.md section 1.2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolchain.datasets.recordings import Events


def sigma_delta(frames: NDArray[np.float64], threshold: float, rate_hz: float) -> Events:
    """Events of many samples at once.

    Parameters
    ----------
    frames : (n_samples, n_frames, n_channels) readings; frame f is at f / rate_hz seconds
    threshold : change of a reading from event to event, > 0
    rate_hz : frames a second

    Returns
    -------
    unit c is ON of channel c, unit n_channels + c its OFF; the events of a sample by time, then unit
    """
    n_samples, n_frames, n_channels = frames.shape
    level = frames[:, 0, :].copy()
    samples: list[NDArray[np.int64]] = []
    units: list[NDArray[np.int64]] = []
    times: list[NDArray[np.float64]] = []
    for frame in range(n_frames - 1):
        before, after = frames[:, frame, :], frames[:, frame + 1, :]
        # The level is less than a threshold from `before`, so what it still has to cross lies between the two frames.
        steps = np.trunc((after - level) / threshold).astype(np.int64)
        sample, channel = np.nonzero(steps)
        count = np.abs(steps[sample, channel])
        sample, channel = np.repeat(sample, count), np.repeat(channel, count)
        nth = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + 1
        sign = np.sign(steps[sample, channel])
        crossed = level[sample, channel] + sign * nth * threshold
        start = before[sample, channel]
        times.append((frame + (crossed - start) / (after[sample, channel] - start)) / rate_hz)
        units.append(channel + n_channels * (sign < 0))
        samples.append(sample)
        level += steps * threshold
    all_samples, all_times, all_units = (np.concatenate(part) for part in (samples, times, units))
    order = np.lexsort((all_units, all_times, all_samples))
    offsets = np.concatenate(([0], np.cumsum(np.bincount(all_samples, minlength=n_samples)))).astype(np.int64)
    return Events(all_times[order], all_units[order].astype(np.int32), offsets)
