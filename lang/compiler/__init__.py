"""From the source of a constraint to rules: in time, in bounds, and once."""
