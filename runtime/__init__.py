"""The runtime: engine, models, server and command line."""
