"""Training: losses, optimisers, the loop, checkpoints and the backends behind one interface."""
