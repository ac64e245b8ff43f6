"""The automaton that runs the IR byte by byte, and the plain matcher it is tested against."""
