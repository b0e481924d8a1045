"""How good a describer words lesions, against references: by wording and by what it says."""
