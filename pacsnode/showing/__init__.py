"""What people are shown of the node: records that a page and a program are told alike."""
