"""The catalog queries of SQL Server, for servers up to 2000 and for later ones.

2005 brought the views of the schema ``sys``. Before it there are the system tables (``sysobjects`` and
its kin), which later versions still have, but without what is new since; and an owner is a user there and
not a schema.

A query about one table takes its name as ``OBJECT_ID`` reads it, so the server finds the table as it does
in any statement: in the caller's own schema and then in ``dbo``. ``{p}`` is the driver's placeholder.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["SINCE_2005", "SINCE_2008", "UP_TO_2000", "Catalog"]


@dataclass(frozen=True, slots=True)
class Catalog:
    """One query for each question; the columns that each returns stand in its comment below."""

    tables: str
    views: str
    columns: str
    primary_key: str
    indexes: str
    foreign_keys: str
    defaults: str
    checks: str
    collation: str


#: What of the schemas an unqualified name can mean. A parameter is given twice: once to see if it is there.
_REACHABLE = "({p} IS NULL AND s.name IN (SCHEMA_NAME(), N'dbo') OR s.name = {p})"
_REACHABLE_2000 = "({p} IS NULL AND USER_NAME(o.uid) IN (USER_NAME(), N'dbo') OR USER_NAME(o.uid) = {p})"
_DATABASE_COLLATION = "CAST(DATABASEPROPERTYEX(DB_NAME(), 'Collation') AS NVARCHAR(128))"

_SINCE_2005_INDEXES = """
SELECT i.name, i.is_unique, i.is_primary_key, i.is_unique_constraint,
    CASE WHEN i.type = 1 THEN 1 ELSE 0 END, c.name, k.is_descending_key, k.is_included_column, {filter}
FROM sys.indexes AS i
INNER JOIN sys.index_columns AS k ON k.object_id = i.object_id AND k.index_id = i.index_id
INNER JOIN sys.columns AS c ON c.object_id = k.object_id AND c.column_id = k.column_id
WHERE i.object_id = OBJECT_ID({{p}}) AND i.is_hypothetical = 0 AND i.type IN (1, 2)
ORDER BY i.index_id, k.is_included_column, k.key_ordinal, k.index_column_id"""

SINCE_2005 = Catalog(
    # name
    tables=f"""
SELECT DISTINCT t.name
FROM sys.tables AS t
INNER JOIN sys.schemas AS s ON s.schema_id = t.schema_id
WHERE {_REACHABLE} AND t.is_ms_shipped = 0
ORDER BY t.name""",
    # name, definition (None if encrypted), part
    views=f"""
SELECT v.name, m.definition, 1 AS part
FROM sys.views AS v
INNER JOIN sys.schemas AS s ON s.schema_id = v.schema_id
LEFT OUTER JOIN sys.sql_modules AS m ON m.object_id = v.object_id
WHERE {_REACHABLE} AND v.is_ms_shipped = 0
ORDER BY v.name""",
    # name, type, the type that an alias type stands for, bytes, precision, scale, nullable, identity, default
    columns="""
SELECT c.name, t.name, b.name, c.max_length, c.precision, c.scale, c.is_nullable, c.is_identity,
    d.definition
FROM sys.columns AS c
INNER JOIN sys.types AS t ON t.user_type_id = c.user_type_id
LEFT OUTER JOIN sys.types AS b ON b.user_type_id = c.system_type_id
LEFT OUTER JOIN sys.default_constraints AS d
    ON d.parent_object_id = c.object_id AND d.parent_column_id = c.column_id
WHERE c.object_id = OBJECT_ID({p})
ORDER BY c.column_id""",
    # column
    primary_key="""
SELECT c.name
FROM sys.indexes AS i
INNER JOIN sys.index_columns AS k ON k.object_id = i.object_id AND k.index_id = i.index_id
INNER JOIN sys.columns AS c ON c.object_id = k.object_id AND c.column_id = k.column_id
WHERE i.object_id = OBJECT_ID({p}) AND i.is_primary_key = 1
ORDER BY k.key_ordinal""",
    # name, unique, primary key, unique constraint, clustered, column, descending, included, filter
    indexes=_SINCE_2005_INDEXES.format(filter="NULL"),
    # name, column, table, column there, on delete, on update
    foreign_keys="""
SELECT f.name, c.name, r.name, d.name, f.delete_referential_action_desc, f.update_referential_action_desc
FROM sys.foreign_keys AS f
INNER JOIN sys.foreign_key_columns AS k ON k.constraint_object_id = f.object_id
INNER JOIN sys.columns AS c ON c.object_id = k.parent_object_id AND c.column_id = k.parent_column_id
INNER JOIN sys.objects AS r ON r.object_id = f.referenced_object_id
INNER JOIN sys.columns AS d ON d.object_id = k.referenced_object_id AND d.column_id = k.referenced_column_id
WHERE f.parent_object_id = OBJECT_ID({p})
ORDER BY f.name, k.constraint_column_id""",
    # name, column
    defaults="""
SELECT d.name, c.name
FROM sys.default_constraints AS d
INNER JOIN sys.columns AS c ON c.object_id = d.parent_object_id AND c.column_id = d.parent_column_id
WHERE d.parent_object_id = OBJECT_ID({p})
ORDER BY d.name""",
    # name, definition
    checks="""
SELECT k.name, k.definition
FROM sys.check_constraints AS k
WHERE k.parent_object_id = OBJECT_ID({p})
ORDER BY k.name""",
    # the column's own, if it is not that of the database
    collation=f"""
SELECT c.collation_name
FROM sys.columns AS c
WHERE c.object_id = OBJECT_ID({{p}}) AND c.name = {{p}} AND c.collation_name <> {_DATABASE_COLLATION}""",
)

#: 2008 has filtered indexes; the column that tells them apart is not there before.
SINCE_2008 = replace(SINCE_2005, indexes=_SINCE_2005_INDEXES.format(filter="i.filter_definition"))

UP_TO_2000 = Catalog(
    tables=f"""
SELECT DISTINCT o.name
FROM sysobjects AS o
WHERE {_REACHABLE_2000} AND o.xtype = 'U' AND OBJECTPROPERTY(o.id, 'IsMSShipped') = 0
ORDER BY o.name""",
    views=f"""
SELECT o.name, CASE WHEN m.encrypted = 1 THEN NULL ELSE m.text END, m.colid
FROM sysobjects AS o
LEFT OUTER JOIN syscomments AS m ON m.id = o.id
WHERE {_REACHABLE_2000} AND o.xtype = 'V' AND OBJECTPROPERTY(o.id, 'IsMSShipped') = 0
ORDER BY o.name, m.colid""",
    columns="""
SELECT c.name, t.name, b.name, c.length, c.prec, c.scale, c.isnullable,
    COLUMNPROPERTY(c.id, c.name, 'IsIdentity'), d.text
FROM syscolumns AS c
INNER JOIN systypes AS t ON t.xusertype = c.xusertype
LEFT OUTER JOIN systypes AS b ON b.xusertype = c.xtype
LEFT OUTER JOIN syscomments AS d ON d.id = c.cdefault AND d.colid = 1
WHERE c.id = OBJECT_ID({p}) AND c.number = 0
ORDER BY c.colid""",
    primary_key="""
SELECT c.name
FROM sysindexes AS i
INNER JOIN sysindexkeys AS k ON k.id = i.id AND k.indid = i.indid
INNER JOIN syscolumns AS c ON c.id = k.id AND c.colid = k.colid
WHERE i.id = OBJECT_ID({p}) AND (i.status & 2048) <> 0
ORDER BY k.keyno""",
    indexes="""
SELECT i.name, INDEXPROPERTY(i.id, i.name, 'IsUnique'),
    CASE WHEN (i.status & 2048) <> 0 THEN 1 ELSE 0 END, CASE WHEN (i.status & 4096) <> 0 THEN 1 ELSE 0 END,
    CASE WHEN i.indid = 1 THEN 1 ELSE 0 END, c.name,
    INDEXKEY_PROPERTY(i.id, i.indid, k.keyno, 'IsDescending'), 0, NULL
FROM sysindexes AS i
INNER JOIN sysindexkeys AS k ON k.id = i.id AND k.indid = i.indid
INNER JOIN syscolumns AS c ON c.id = k.id AND c.colid = k.colid
WHERE i.id = OBJECT_ID({p}) AND i.indid BETWEEN 1 AND 254
    AND INDEXPROPERTY(i.id, i.name, 'IsStatistics') = 0 AND INDEXPROPERTY(i.id, i.name, 'IsHypothetical') = 0
ORDER BY i.indid, k.keyno""",
    foreign_keys="""
SELECT f.name, c.name, r.name, d.name,
    CASE WHEN OBJECTPROPERTY(k.constid, 'CnstIsDeleteCascade') = 1 THEN 'CASCADE' ELSE 'NO_ACTION' END,
    CASE WHEN OBJECTPROPERTY(k.constid, 'CnstIsUpdateCascade') = 1 THEN 'CASCADE' ELSE 'NO_ACTION' END
FROM sysforeignkeys AS k
INNER JOIN sysobjects AS f ON f.id = k.constid
INNER JOIN syscolumns AS c ON c.id = k.fkeyid AND c.colid = k.fkey
INNER JOIN sysobjects AS r ON r.id = k.rkeyid
INNER JOIN syscolumns AS d ON d.id = k.rkeyid AND d.colid = k.rkey
WHERE k.fkeyid = OBJECT_ID({p})
ORDER BY f.name, k.keyno""",
    defaults="""
SELECT o.name, c.name
FROM syscolumns AS c
INNER JOIN sysobjects AS o ON o.id = c.cdefault
WHERE c.id = OBJECT_ID({p}) AND o.xtype = 'D'
ORDER BY o.name""",
    checks="""
SELECT o.name, m.text
FROM sysobjects AS o
INNER JOIN syscomments AS m ON m.id = o.id AND m.colid = 1
WHERE o.parent_obj = OBJECT_ID({p}) AND o.xtype = 'C'
ORDER BY o.name""",
    collation=f"""
SELECT c.collation
FROM syscolumns AS c
WHERE c.id = OBJECT_ID({{p}}) AND c.number = 0 AND c.name = {{p}} AND c.collation <> {_DATABASE_COLLATION}""",
)
