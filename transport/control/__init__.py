"""Control RPC: typed commands to a running node and their answers."""
