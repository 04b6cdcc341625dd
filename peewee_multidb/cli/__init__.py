"""The `multidb` command: what there is, where it lives, how it is, and moving it.

`main` is what the console script calls, and says so when the extra ``cli`` is missing; `group` lists the
commands; `context` finds the settings and the models; `output` is the only place that prints.
"""
