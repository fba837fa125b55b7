"""What a net costs: parameters, MACs, memory, time."""
