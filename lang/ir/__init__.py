"""The grammar IR: what every constraint lowers to, and what is checked and known of it."""
