"""What is decided, purely: no disk, network, clock or randomness."""
