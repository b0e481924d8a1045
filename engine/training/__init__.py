"""From examples to a checkpoint folder that engine.petar loads; one TOML file is one run."""
