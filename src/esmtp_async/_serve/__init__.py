"""A test server for people: it stores mail in a directory, and shows it on a page."""
