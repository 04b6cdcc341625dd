"""CREATE, ALTER and DROP in T-SQL."""
