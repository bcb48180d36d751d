"""How the parts of a run share out among workers: measured on two, simulated beyond."""
