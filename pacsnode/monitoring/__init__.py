"""What the node tells of itself: numbers for Prometheus, and whether it is fit to work."""
