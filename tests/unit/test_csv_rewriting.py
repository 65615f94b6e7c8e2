"""What MySQL is sent of verified records, and the plainest spelling of one."""

import pytest

from shared.csv_records import (
    canonical_lines,
    encode_record,
    fields_of,
    leading_columns,
)


def test_canonical_lines_begin_with_their_numbers_and_keep_their_quoting() -> None:
    records = [b'1,"a\r\nb",c', b'2,"say ""hi""",\\N']
    lines = canonical_lines(b"%d,%b\n" % line for line in enumerate(records, 41))
    assert lines == b'41,1,"a\r\nb",c\n42,2,"say ""hi""",\\N\n'
    assert canonical_lines([]) == b""


def test_the_word_null_is_quoted_where_mysql_would_read_no_value() -> None:
    records = [
        b"NULL,a,NULL",
        b"NULL,NULL,NULL",
        b'"NULL","x,NULL,y\nNULL\n,NULL",NULLS',
        b"null,,",
    ]
    assert canonical_lines(b"%d,%b\n" % line for line in enumerate(records, 1)) == (
        b'1,"NULL",a,"NULL"\n'
        b'2,"NULL","NULL","NULL"\n'
        b'3,"NULL","x,NULL,y\nNULL\n,NULL",NULLS\n'
        b"4,null,,\n"
    )


@pytest.mark.parametrize(
    ("records", "columns"),
    [
        ([], [[], []]),
        ([b"a,b,c", b",,"], [[b"a", b""], [b"b", b""]]),
        ([b"a,b", b"c,d"], [[b"a", b"c"], [b"b", b"d"]]),
        ([b'a,b,"c,d"'], [[b"a"], [b"b"]]),
        ([b"a,b,c", b'"d","e ""f"", g",h'], [[b"a", b"d"], [b"b", b'e "f", g']]),
        (['é,"\r\n",'.encode(), b'"",NULL,'], [["é".encode(), b""], [b"\r\n", b"NULL"]]),
    ],
)
def test_the_leading_columns_of_records_are_what_stands_in_them(
    records: list[bytes], columns: list[list[bytes]]
) -> None:
    assert leading_columns(records, 2) == columns


def test_an_encoded_record_has_quotes_only_where_needed() -> None:
    fields = ["1", "", "a b", "a,b", 'a"b', "a\nb", "a\rb", "a\tb", "\\", "é", "NULL"]
    encoded = encode_record(fields)
    assert encoded == '1,,a b,"a,b","a""b","a\nb","a\rb","a\tb",\\,é,NULL'
    assert fields_of(encoded.encode()) == fields
