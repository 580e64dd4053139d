"""Several processes that train one network together, each on a device of its own.

Every process, a *rank*, runs the same training: the same order of samples, the same parameters, the same steps of the
optimiser. Of each batch a rank takes every n-th sample, and what its samples come to is added to that of the others:
counts of spikes before the backward pass, gradients after it. Sums are formed in order of rank, so that they are the
same to the bit everywhere, and so is what is learned from them.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import MissingDependencyError

SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS")
"""What launchers of MPI programs say the number of processes in (Open MPI; MPICH and Intel MPI)."""


class Ranks(Protocol):
    """All processes of a training, as one of them sees them."""

    @property
    def index(self) -> int:
        """Which one this is, from 0."""

    @property
    def count(self) -> int:
        """How many there are."""

    @property
    def device(self) -> int:
        """Which GPU of its machine is this one's."""

    def add(self, values: NDArray[Any]) -> NDArray[Any]:
        """Sum over all ranks of arrays of one shape; every rank has to call it, and gets the same."""

    def wait(self) -> None:
        """Return when every rank has called it."""

    def abort(self, status: int) -> None:
        """End all ranks: one that fails would leave the others waiting for ever."""


class Alone:
    """One process."""

    index, count, device = 0, 1, 0

    def add(self, values: NDArray[Any]) -> NDArray[Any]:
        """See `Ranks.add`."""
        return values

    def wait(self) -> None:
        """See `Ranks.wait`."""

    def abort(self, status: int) -> None:
        """See `Ranks.abort`: there is nobody else to end."""


class MpiRanks:
    """Processes that an MPI launcher started, by mpi4py."""

    def __init__(self) -> None:
        from mpi4py import MPI

        self._world = MPI.COMM_WORLD
        self.index, self.count = int(self._world.Get_rank()), int(self._world.Get_size())
        self.device = int(self._world.Split_type(MPI.COMM_TYPE_SHARED).Get_rank())

    def add(self, values: NDArray[Any]) -> NDArray[Any]:
        """See `Ranks.add`."""
        own = np.ascontiguousarray(values)
        every = np.empty((self.count, *own.shape), dtype=own.dtype)
        self._world.Allgather(own, every)
        total: NDArray[Any] = every[0].copy()
        for other in every[1:]:
            total += other
        return total

    def wait(self) -> None:
        """See `Ranks.wait`."""
        self._world.Barrier()

    def abort(self, status: int) -> None:
        """See `Ranks.abort`."""
        self._world.Abort(status)


@cache
def find_ranks() -> Ranks:
    """The processes that this one was started with; itself alone where no launcher of MPI programs did.

    Raises
    ------
    MissingDependencyError
        If it was started as one of several, and mpi4py is not installed or does not find the others.
    """
    started = max((int(os.environ[name]) for name in SIZES if os.environ.get(name, "").isdigit()), default=1)
    if started < 2:
        return Alone()
    try:
        ranks = MpiRanks()
    except (ImportError, RuntimeError) as error:
        # Where it finds no MPI library it raises the latter, in several lines.
        reason = "is not installed" if isinstance(error, ModuleNotFoundError) else "does not start"
        raise MissingDependencyError(
            f"backend genn: this is one of {started} processes that were started together, and mpi4py, by which they "
            f"would find each other, {reason} ({' '.join(str(error).split())[:300]}); install it for the MPI that "
            "started them (pip install mpi4py), or start one process"
        ) from error
    if ranks.count == 1:
        raise MissingDependencyError(
            f"backend genn: this is one of {started} processes that were started together, and mpi4py sees no other: "
            "it is built for another MPI than the one that started them; start them with that one's mpirun, or build "
            "mpi4py for this one"
        )
    return ranks
