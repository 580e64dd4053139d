"""`python -m toolchain.cli` is the command `delayline`."""

from toolchain.cli import main

if __name__ == "__main__":
    main()
