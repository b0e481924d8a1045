"""Numbers from masks. They are of one version: a change of any definition raises it."""

MEASUREMENT_VERSION = "1"
