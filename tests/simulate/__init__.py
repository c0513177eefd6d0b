"""The simulator: the real use cases on a real database, a virtual Proof, a virtual clock, and a schedule that follows
from one seed: who runs next, at each transaction and each call, and who dies there. See docs/reliability.md."""
