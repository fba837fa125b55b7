"""The limb model: joints and connections, pixel grids, target masks."""
