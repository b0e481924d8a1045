"""A case from its files to its documents: the whole of the engine, in order."""

from engine.pipeline.lesion_records import lesion_records_of
from engine.pipeline.raw_words import raw_words_of
from engine.pipeline.reporting import Documents, report_case
from engine.pipeline.words import Worded

__all__ = ["Documents", "Worded", "lesion_records_of", "raw_words_of", "report_case"]
