"""Transport carries messages between processes: envelopes, codec, sockets, remote refs, control RPC and taps."""
