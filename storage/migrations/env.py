"""Alembic's entry: runs the steps on the connection that `storage.schema` hands in."""

from alembic import context

from storage.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite alters a table by rebuilding it
    transactional_ddl=False,  # the caller's transaction holds all steps, or none
)
context.run_migrations()
