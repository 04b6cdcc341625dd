"""``python -m peewee_multidb`` is the command `multidb`."""

from .cli.main import main

if __name__ == "__main__":
    main()
