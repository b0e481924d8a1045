"""How fast: start-up, first C-ECHO, C-STORE, replay. `python -m tests.bench` prints a table."""
