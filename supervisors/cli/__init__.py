"""actorctl: the command line, a client of control RPC."""
