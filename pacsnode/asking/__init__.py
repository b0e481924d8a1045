"""Images that a mask lacks are asked of sources, and come through the door that all objects use."""
