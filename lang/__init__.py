"""The language: what users write, and the grammars that their constraints compile to."""
