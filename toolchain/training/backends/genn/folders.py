"""Where each of several processes writes: the first what the user asked for, the others copies that go away.

All ranks do the same training, so all write the same files; one set is enough, and no part of training has to know.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from toolchain.errors import DelaylineError, InputError
from toolchain.training.backends.genn.ranks import Ranks


@dataclass(frozen=True)
class Folders:
    """`runs`, in which a run folder is made, and `resume`, one to go on with, or None."""

    runs: Path
    resume: Path | None


@contextmanager
def own_folders(ranks: Ranks, runs: Path, resume: Path | None, say: Callable[[str], None]) -> Iterator[Folders]:
    """The folders of this rank; ranks but the first are silent, and an error of one is said and ends all.

    Raises
    ------
    InputError
        If `resume` is a sweep, whose runs lie in other folders, and there are several ranks.
    """
    if ranks.count == 1:
        yield Folders(runs, resume)
        return
    try:
        if resume is not None and resume.is_file():
            raise InputError(f"sweep {resume}: is resumed by one process only; start one")
        with tempfile.TemporaryDirectory(prefix="delayline-rank-") as scratch, ExitStack() as stack:
            if ranks.index > 0 and resume is not None and resume.is_dir():
                shutil.copytree(resume, Path(scratch) / resume.name)
            # Nobody writes before everybody has copied.
            ranks.wait()
            if ranks.index == 0:
                yield Folders(runs, resume)
            else:
                copy = None if resume is None else Path(scratch) / resume.name
                nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
                stack.enter_context(redirect_stdout(nowhere))
                stack.enter_context(redirect_stderr(nowhere))
                yield Folders(Path(scratch), copy)
    except BaseException as error:
        # The others wait for this one in the middle of a batch and would never know.
        say(f"rank {ranks.index}: {type(error).__name__}: {error}")
        ranks.abort(error.exit_code if isinstance(error, DelaylineError) else 1)
        raise
