"""Bytes on disk and the catalog that knows them; no pixels."""
