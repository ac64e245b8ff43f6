"""Grammars written for the Lark parser, read as grammar rules."""
