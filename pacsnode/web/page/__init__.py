"""The page: HTML with Jinja2 and htmx; it shows what `pacsnode.showing` tells."""
