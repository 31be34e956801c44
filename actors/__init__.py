"""Actors process messages: the kernel (actor, mailbox, dispatcher, refs) and the working actors built on it."""
