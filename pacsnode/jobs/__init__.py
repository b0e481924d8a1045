"""The durable work on DBOS: a report made once, then delivered to every destination."""
