"""The five-minute tour: a made study in over DICOM, a report back, its numbers against truth."""

from pacsnode.demo.tour import run_demo

__all__ = ["run_demo"]
