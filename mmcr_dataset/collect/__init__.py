"""Documents from sources to candidates: images fetched, checked and hashed, text cleaned."""
