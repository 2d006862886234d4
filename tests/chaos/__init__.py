"""Kill it, starve it, feed it rubbish: real processes, real signals, real disks."""
