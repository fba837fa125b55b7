"""Maps to poses, and poses to errors."""
