"""What raw SQL does, as far as its text tells: whether it only reads."""

from __future__ import annotations

import functools
import re

__all__ = ["for_primary", "has_side_effects", "may_write", "only_reads"]

# Quoted strings, quoted names and comments: what stands in them is no keyword.
_LITERALS = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`'\"]*`|\[[^\]'\"`/-]*\]|--[^\n]*|/\*.*?\*/", re.DOTALL)
# Where engines differ in where a literal or a comment ends: backslashes, dollar quotes, MySQL's comments
# that are executed, nested comments, ``#`` and ``--`` comments.
_AMBIGUOUS = re.compile(r"\\|\$\w*\$|#|/\*M?!|/\*(?:(?!\*/).)*/\*|--(?!\s|$)", re.DOTALL | re.IGNORECASE)
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
_ACTING = (
    r"(?:nextval|setval|currval|lastval|last_insert_id|(?:try_)?advisory|pg_(?:try_)?advisory|get_lock"
    r"|release_(?:all_)?locks?|is_(?:free|used)_lock|set_config|pg_notify|txid_current\b|lo_"
    r"|pg_current_xact_id\b|pg_(?:create|drop|copy)_"
    r"|pg_(?:promote|reload_conf|switch_wal|terminate_backend|cancel_backend))"
)
_SIDE_EFFECTS = re.compile(_ACTING, re.IGNORECASE)
# The same anywhere in a statement, and the clauses that lock or count.
_PRIMARY_ONLY = re.compile(
    rf"\b{_ACTING}\w*[\"`]?\s*\(|\bfor\s+(?:no\s+key\s+)?update\b|\bfor\s+(?:key\s+)?share\b"
    r"|\bin\s+share\s+mode\b|\bnext\s+value\s+for\b",
    re.IGNORECASE,
)
# A name and its bracket: a function, or a keyword that may stand before one.
_CALLS = re.compile(r"([\w.\"`\]]+)\s*\(")
# Functions of the engines that only compute, and the keywords.
_COMPUTING = re.compile(
    r"(?:in|exists|values|and|or|not|as|on|over|any|all|some|where|from|select|join|union|intersect|except"
    r"|then|when|else|by|having|limit|offset|using|distinct|filter|group|between|like|ilike|is|lateral|with"
    r"|materialized|interval|char|varchar|numeric|decimal|cast|convert|coalesce|nullif|ifnull|isnull|if|iif"
    r"|count|sum|min|max|avg|total|stddev\w*|variance|var_\w+|string_agg|array_agg|group_concat|bool_and"
    r"|bool_or|every|lower|upper|length|char_length|character_length|octet_length|substr|substring|left|right"
    r"|trim|ltrim|rtrim|btrim|lpad|rpad|replace|concat|concat_ws|position|strpos|instr|locate|split_part"
    r"|regexp_\w+|md5|sha1|sha2|sha256|hex|unhex|abs|round|floor|ceil|ceiling|power|pow|sqrt|mod|exp|ln|log"
    r"|sign|greatest|least|random|rand|now|date|time|timestamp|datetime|year|month|day|hour|minute|second"
    r"|date_trunc|date_part|extract|date_format|to_char|to_date|to_timestamp|to_number|from_unixtime"
    r"|unix_timestamp|strftime|julianday|date_add|date_sub|datediff|timestampdiff|age|make_date"
    r"|clock_timestamp|json_\w+|jsonb_\w+|to_json|to_jsonb|row_to_json|row_number|rank|dense_rank"
    r"|percent_rank|cume_dist|ntile|lag|lead|first_value|last_value|nth_value|unnest|generate_series|array"
    r"|array_length|cardinality|to_tsvector|to_tsquery|plainto_tsquery|websearch_to_tsquery|ts_\w+|st_\w+"
    r"|similarity|version|current_setting|current_database|current_schema|database|typeof|pg_\w+)",
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
    return _may_write(sql) if len(sql) <= LONGEST_KEPT else _may_write.__wrapped__(sql)


@functools.lru_cache(maxsize=1024)
def _may_write(sql: str) -> bool:
    word = sql.lstrip()[:10].upper()
    if word.startswith(_PLAIN_WRITES):
        return True
    if word.startswith(_MARKS):
        return False
    return not only_reads(sql) or _calls_a_stranger(sql)


def for_primary(sql: str) -> bool:
    """Whether a statement, wherever in it, locks or counts something that only the primary keeps for all.

    A standby would take the lock of an advisory lock, for instance, and it would protect nothing.
    """
    return _for_primary(sql) if len(sql) <= LONGEST_KEPT else _for_primary.__wrapped__(sql)


@functools.lru_cache(maxsize=1024)
def _for_primary(sql: str) -> bool:
    return _PRIMARY_ONLY.search(sql) is not None


def _calls_a_stranger(sql: str) -> bool:
    """Whether a statement calls a function that is not known to only compute."""
    return any(_COMPUTING.fullmatch(name) is None for name in _CALLS.findall(sql))
