"""How a server is found and reached: announcements on this machine, ssh to another."""
