"""SpiNNaker 1 through sPyNNaker: integer slots up to the chip's, and delay extensions beyond them."""
