"""MMDU as a bench: one command from an encyclopedia to frozen files, clusters judged, quality related to them."""
