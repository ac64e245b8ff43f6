"""Regular languages: tables over an alphabet of code points, and the algebra on them."""
