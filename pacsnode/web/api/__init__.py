"""The same as JSON: one table of operations makes the routes, the document and the page of it."""
