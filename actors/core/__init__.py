"""The actor kernel: actor, mailbox, dispatchers, refs, links, registry, dead letters, event bus."""
