"""Incidents: found, begun, ended, and what they held up. `register.py` alone writes them; each detector is a file."""
