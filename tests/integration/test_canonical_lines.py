"""Canonical lines go through a real LOAD DATA and come out as the exact texts that went in."""

import os
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest

from crossdock.stack import mysql_server
from shared.csv_records import MAX_FIELD_BYTES, RecordReader, canonical_lines, fields_of
from shared.mysql.connect import MySQLAddress

HEADER = ("id", "name", "note")
STATEMENT = r"""
LOAD DATA LOCAL INFILE '{path}' INTO TABLE staging CHARACTER SET utf8mb4
FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '"' ESCAPED BY '' LINES TERMINATED BY '\n'
"""
RECORDS = [
    "1,plain,text",
    "2,,",
    '3,"",""',
    "4,NULL,NULL",
    "NULL,NULL,x",
    '5,"NULL","x,NULL,y"',
    '6,"NULL\nNULL,\nNULL",NULL',
    "7,null,Null",
    r"8,\N,\N",
    r'9,"\N","\\"',
    r'10,C:\new\table\,"ends with a backslash \"',
    '11,"line\nbreak","line\r\nbreak"',
    '12,"ends with LF\n","\r"',
    '13,"comma, comma",",,"',
    '14,"say ""hi""",""""',
    '15,"""",""""""',
    '16,"""quoted from start to end""",""","""',
    '17,"a""\n""b","\n"',
    "18, leading and trailing ,' '",
    "19,'single','",
    "20,é,e\u0301",
    "21,😀,👩‍👩‍👧",
    "22,a\u2028b,a\u0085b",
    "23,\ufeffbom inside,\u00a0",
    "24,\u8868,\u80fd",  # in Shift JIS their second byte is a backslash
    '25,"tab\tbell\x07ctrl-z\x1adel\x7f",x',
    "26,-- comment,/* comment */",
    "27,%s,@x",
    "28,0x41,b'1'",
    f"29,{'x' * MAX_FIELD_BYTES},{'é' * (MAX_FIELD_BYTES // 2)}",
    '30,"' + '""' * MAX_FIELD_BYTES + '",' + "x" * MAX_FIELD_BYTES,
    '31,"last, without a line break",""',
]


@pytest.fixture
def connection(mysql_server_url: str) -> Iterator[pymysql.Connection]:
    name = f"canonical_lines_{os.getpid()}"
    address = MySQLAddress.parse(mysql_server.create_database(mysql_server_url, name))
    try:
        with (
            pymysql.connect(**address.arguments(), local_infile=True, autocommit=True) as opened,
            opened.cursor() as cursor,
        ):
            cursor.execute(
                "CREATE TABLE staging (row_no BIGINT PRIMARY KEY, id MEDIUMTEXT, name MEDIUMTEXT,"
                " note MEDIUMTEXT) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin"
            )
            yield opened
    finally:
        mysql_server.drop_database(mysql_server_url, name)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_every_awkward_value_comes_out_exactly(
    connection: pymysql.Connection, tmp_path: Path, ending: str
) -> None:
    reader = RecordReader("customers.csv", HEADER)
    records = reader.feed(ending.join([",".join(HEADER), *RECORDS]).encode()) + reader.finish()
    path = tmp_path / "lines"
    path.write_bytes(canonical_lines(b"%d,%b\n" % line for line in enumerate(records, 1)))

    with connection.cursor() as cursor:
        loaded = cursor.execute(STATEMENT.format(path=path))
        cursor.execute("SELECT @@warning_count")
        assert cursor.fetchall() == ((0,),)
        cursor.execute("SELECT row_no, id, name, note FROM staging ORDER BY row_no")
        rows = cursor.fetchall()

    assert loaded == len(RECORDS)
    assert list(rows) == [
        (row_no, *fields_of(record.encode())) for row_no, record in enumerate(RECORDS, 1)
    ]
