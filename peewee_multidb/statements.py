"""What raw SQL does, as far as its text tells: whether it only reads."""

from __future__ import annotations

import functools
import re

__all__ = ["has_side_effects", "may_write", "only_reads"]

# Quoted strings, quoted names and comments: what stands in them is no keyword.
_LITERALS = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`'\"]*`|\[[^\]'\"`/-]*\]|--[^\n]*|/\*.*?\*/", re.DOTALL)
# Where engines differ in where a literal or a comment ends: backslashes, dollar quotes, MySQL's comments
# that are executed, nested comments, ``#`` and ``--`` comments.
_AMBIGUOUS = re.compile(
    r"\\|\$\w*\$|#|/\*M?!|/\*(?:(?!\*/).)*/\*|--(?!\s|$)", re.DOTALL | re.IGNORECASE
)
# A number may touch the keyword after it: 1e5INTO is two words to some engines.
_WORDS = re.compile(r"\d[\d.]*(?:e[+-]?\d+)?|([^\W\d]\w*)")
_READING_WORDS = frozenset({"select", "with", "values", "show", "explain", "describe", "desc", "table"})
_WRITING_WORDS = frozenset(
    [
        *("insert", "update", "delete", "merge", "replace", "into", "copy", "set", "truncate"),
        *("create", "alter", "drop", "grant", "revoke", "lock", "analyze", "vacuum"),
        *("call", "exec", "execute", "do"),
    ]
)
_SIDE_EFFECTS = re.compile(
    r"nextval|setval|currval|lastval|last_insert_id|(try_)?advisory|pg_(try_)?advisory|get_lock|release_"
    r"(all_)?locks?|is_(free|used)_lock|set_config|pg_notify|txid_current$|pg_current_xact_id$|lo_"
    r"|pg_(create|drop|copy)_|pg_(promote|reload_conf|switch_wal|terminate_backend|cancel_backend)",
    re.IGNORECASE,
)
_PLAIN_WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE", "MERGE", "CREATE", "ALTER", "DROP", "TRUNCATE")
_MARKS = ("BEGIN", "START", "SAVEPOINT", "RELEASE", "ROLLBACK", "SET", "PRAGMA", "USE ")

#: Characters; a longer statement is looked at anew each time.
LONGEST_KEPT = 4000


@functools.lru_cache(maxsize=1024)
def _only_reads(sql: str) -> bool:
    # What one engine takes for a string may be a statement on another: then nothing is taken out.
    text = _LITERALS.sub(" ", sql)
    if _AMBIGUOUS.search(sql) or any(quote in text for quote in "'\"`["):
        text = sql
    statements = [list(filter(None, _WORDS.findall(part))) for part in text.lower().split(";")]
    statements = [words for words in statements if words]
    return bool(statements) and all(
        words[0] in _READING_WORDS
        and not _WRITING_WORDS.intersection(words)
        and not any(map(has_side_effects, words))
        for words in statements
    )


def only_reads(sql: str) -> bool:
    """Whether raw SQL is provably a read: each statement's first word says so and no word in it can write.

    A function of the user's that it calls may still write; a read-only session on the server is what stops
    that.
    """
    # Long texts are mostly values, and would be kept for nothing.
    return _only_reads(sql) if len(sql) <= LONGEST_KEPT else _only_reads.__wrapped__(sql)


def has_side_effects(function: str) -> bool:
    """Whether a function of an engine does something that only the primary can, or that stays behind.

    Sequences and locks, above all: a lock taken on a replica protects nothing.
    """
    return _SIDE_EFFECTS.match(function) is not None


def may_write(sql: str) -> bool:
    """Whether a statement that a server executed may have changed something that a replica has to repeat.

    What only opens or marks a place in a transaction has not.
    """
    word = sql.lstrip()[:10].upper()
    if word.startswith(_PLAIN_WRITES):
        return True
    if word.startswith(_MARKS):
        return False
    return not only_reads(sql)
