"""The parts of a run, one module each, in the order in which they run."""
