"""Tables and the HTML report page."""
