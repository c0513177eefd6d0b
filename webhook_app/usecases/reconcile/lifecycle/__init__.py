"""The life of a reconciliation: its states, its transitions and the columns that go with them, written here alone."""
