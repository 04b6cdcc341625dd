"""The functions and types of T-SQL, by the first version that has them."""

from __future__ import annotations

__all__ = ["FUNCTION_SINCE", "TYPE_SINCE", "WORDS", "YEARS"]

YEARS = ("2000", "2005", "2008", "2012", "2016", "2017", "2019", "2022", "2025")

FUNCTIONS = {
    "2000": """abs acos ascii asin atan atn2 avg cast ceiling char charindex checksum checksum_agg coalesce
        convert cos cot count count_big current_timestamp datalength dateadd datediff datename datepart day
        degrees difference exp floor getdate getutcdate grouping isdate isnull isnumeric left len log log10
        lower ltrim max min month nchar newid nullif object_id object_name patindex pi power quotename radians
        rand replace replicate reverse right round rtrim scope_identity sign sin soundex space sqrt square
        stdev stdevp str stuff substring sum tan unicode upper user_name var varp year serverproperty
        columnproperty db_name ident_current""",
    "2005": "row_number rank dense_rank ntile error_message error_number schema_name",
    "2008": "sysdatetime sysutcdatetime sysdatetimeoffset switchoffset todatetimeoffset",
    "2012": """concat choose iif format try_cast try_convert eomonth datefromparts lag lead first_value
        last_value percent_rank cume_dist percentile_cont percentile_disc parse try_parse""",
    "2016": "json_value json_query json_modify isjson openjson string_escape string_split datediff_big",
    "2017": "string_agg trim concat_ws translate",
    "2019": "approx_count_distinct",
    "2022": "greatest least datetrunc date_bucket generate_series json_object json_array bit_count",
    "2025": "regexp_like regexp_replace regexp_substr regexp_count regexp_instr json_objectagg json_arrayagg",
}
TYPES = {
    "2000": """int bigint smallint tinyint bit decimal numeric money smallmoney float real datetime
        smalldatetime char varchar text nchar nvarchar ntext binary varbinary image uniqueidentifier
        sql_variant timestamp rowversion""",
    "2005": "xml",
    "2008": "date time datetime2 datetimeoffset hierarchyid geometry geography",
    "2025": "json vector",
}
_WORDS = """all and any as between by case else end exists from group having if in insert into is join like
    not on or order output over partition select set some table then top union update using values when where
    with within apply cross outer inner except intersect identity primary key references default check
    nvarchar varchar nchar char varbinary binary decimal numeric float datetime2 time datetimeoffset index
    begin fetch next rows row only offset add constraint unique foreign option matched path"""


def _since(table: dict[str, str]) -> dict[str, int]:
    return {name: YEARS.index(year) for year, names in table.items() for name in names.split()}


FUNCTION_SINCE, TYPE_SINCE = _since(FUNCTIONS), _since(TYPES)
#: Words that may stand before a parenthesis without being functions.
WORDS = frozenset(_WORDS.split())
