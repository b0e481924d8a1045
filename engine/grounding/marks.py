"""What stands in the scanned text where a part of it is decided, character by character."""

NAME = "\x00"  # of anatomy, a tracer or a score: it stays
PRIOR = "\x01"  # a number of an earlier examination
DATE = "\x02"
ASIDE = "\x03"  # a number between an uptake's name and its own: "SUV max on slice 86 is 4"
