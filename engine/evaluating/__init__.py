"""How good a describer words lesions: against reference findings, by wording and by clinical content."""
