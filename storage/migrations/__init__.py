"""Steps that build the index, oldest first; `storage.schema` takes them."""
