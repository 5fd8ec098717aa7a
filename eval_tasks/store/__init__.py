"""The run folder, the journal it resumes from, several processes."""
