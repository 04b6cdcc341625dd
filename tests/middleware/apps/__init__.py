"""One small application, written once for each framework; `tests.middleware.serve` runs them on real servers.

What they have in common is in `common`: each answers the same paths, so that the same tests hold for all.

    GET  /notes    the texts of the tenant's notes, as JSON
    POST /notes    one more note, with the text of the query string
    GET  /boom     reads, then raises
    POST /open     writes in a transaction that nobody ends
    POST /stray    enters a scope that nobody leaves
    GET  /stream   the texts, one a line, each by a query of its own while the response is on its way
    GET  /tenant   the tenant, after whatever is left of other requests was looked for
    GET  /away     reads the notes of the other tenant, which the lock forbids
"""
