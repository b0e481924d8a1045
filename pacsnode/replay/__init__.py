"""Folders, files and archives in; SR files, findings.csv and run.json out."""

from pacsnode.replay.run import Outcome, Request, replay

__all__ = ["Outcome", "Request", "replay"]
