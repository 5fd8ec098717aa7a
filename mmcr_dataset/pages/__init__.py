"""HTML pages: one frame and style, the macros, a template for each page."""
