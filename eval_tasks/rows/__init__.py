"""A benchmark's own files and other people's predictions as rows."""
