"""A PACS node that turns PET/CT segmentations into lesion reports."""

__version__ = "0.1.0"
