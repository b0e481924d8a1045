"""The conformance statement (PS3.2), made of the tables that the code works by."""

from pacsnode.web.statement.blocks import as_html, as_markdown
from pacsnode.web.statement.whole import statement

__all__ = ["as_html", "as_markdown", "statement"]
