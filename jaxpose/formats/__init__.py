"""Both nets as one file that other programs read and compute.

Both formats have one interface. Input: `clips`, float32 [batch 3 rows columns 1], as
`Model.clips` returns them. Outputs: `detection` and `regression`, float32 [batch 3 rows columns
20], as `Model.maps` returns them. The number of clips is free.
"""
