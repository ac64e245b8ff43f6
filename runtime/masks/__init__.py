"""Which tokens an automaton allows: masks over a vocabulary."""
