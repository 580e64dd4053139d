"""Scripts that are copied into the sPyNNaker folder of every bundle; there they stand beside each other."""
