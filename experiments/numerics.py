"""The version of the numbers: the same recipe under the same version gives the same weights.

A test trains both nets for 20 steps and compares their weights with stored ones. When they move by
more than 1e-4, training computes something else than before: raise NUMERICS, store the new weights
(`python tests/test_numerics.py`), and say in LOG.md what changed. Shared detection nets and resumed
runs never mix versions.
"""

NUMERICS = 1
