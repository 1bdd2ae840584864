"""Who may do what here, and whom a client believes: tokens, roles, refusals, certificates."""
