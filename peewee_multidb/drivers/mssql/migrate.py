"""Changes of a table's columns, for `playhouse.migrate`."""
