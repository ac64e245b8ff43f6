"""Ten prompt programs and two synthetic loads, each written once for every engine.

A workload (`base.py`) is a program over the few operations that all engines have; an engine's file
says how that engine's own documentation would do them. `catalog.py` lists both.
"""
