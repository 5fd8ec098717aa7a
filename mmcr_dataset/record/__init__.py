"""What a dialogue is: the record, its chat messages, its published row, its images and text."""
