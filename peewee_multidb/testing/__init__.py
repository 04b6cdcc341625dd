"""What applications need to test against real servers that lag, die, are cut off and change roles.

`peewee_multidb.testing.servers` starts them. It needs the extra ``testing``.
"""
