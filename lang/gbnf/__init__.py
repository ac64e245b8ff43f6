"""GBNF, the grammar language of llama.cpp: read and printed."""
