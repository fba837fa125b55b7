"""The study: its plan, its jobs, its statistics and its texts."""
