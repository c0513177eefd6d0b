"""Load: requests from a process of their own, as fast as they are answered, or at a constant rate."""
