"""Tenants: names from outside, where their databases are, and code that is locked to one of them.

`names` checks what came from outside, `resolvers` find the settings of a name that was never seen before,
`resolving` keeps what they found, and `locks` is the scope that a request is locked into.
"""
