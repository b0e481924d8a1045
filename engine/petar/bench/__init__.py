"""How fast PETAR describes, beside straightforward use of transformers in the same run."""
