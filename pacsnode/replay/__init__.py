"""Folders, files and archives in; SR files, findings.csv and run.json out.

`pacsnode.replay.run` is the door; worker processes load only what they report with.
"""
