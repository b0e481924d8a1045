"""From pixels to a report; no sockets, no database."""
