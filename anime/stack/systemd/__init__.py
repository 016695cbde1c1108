"""The parts of the stack as services of systemd, each with a unit of its own."""
