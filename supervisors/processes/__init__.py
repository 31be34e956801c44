"""Children in operating system processes of their own."""
