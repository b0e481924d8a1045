"""Every coded concept we write, once."""
