"""What the machine gives: CPUs, memory, threads, child interpreters, a cache; nothing of images or models."""
