"""The command `delayline`: parse, call, print. No logic lives here."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

INTERRUPTED = 130
"""Exit code after Ctrl-C."""
STOPPED = "stopped; what was written before is whole"


def main() -> None:
    """Entry point of the command; turns our errors into one line and their exit code."""
    from toolchain.errors import DelaylineError

    # Like Ctrl-C: what is open is closed, and a vendor process that was started does not outlive us.
    signal.signal(signal.SIGTERM, _terminate)
    debug = "--debug" in sys.argv[1:] or bool(os.environ.get("DELAYLINE_DEBUG"))
    try:
        from toolchain.cli.app import app

        app()
    except DelaylineError as error:
        if debug:
            raise
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        # Where it comes before typer has taken over, which makes an exit of it.
        if debug:
            raise
        print(STOPPED, file=sys.stderr)
        sys.exit(INTERRUPTED)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            print(STOPPED, file=sys.stderr)
        raise
    except MemoryError as error:
        if debug:
            raise
        print(f"MemoryError: {error}; make the network, the batch or the sample smaller", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        # The reader of a pipe went away (`delayline targets | head`): not an error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if debug:
            raise
        place = f" {error.filename}" if error.filename else ""
        print(f"{type(error).__name__}:{place} {error.strerror or error}; nothing was replaced", file=sys.stderr)
        sys.exit(2)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
