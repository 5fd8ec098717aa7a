"""Expert review: rounds, marks, accounts, the web page."""
