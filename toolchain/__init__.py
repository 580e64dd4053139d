"""delayline: train spiking networks with learned synaptic delays and put them on neuromorphic chips."""

__version__ = "0.1.0"
