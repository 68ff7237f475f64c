"""Engine adapters: pure functions from plans to argv, and from an engine's output to values."""
