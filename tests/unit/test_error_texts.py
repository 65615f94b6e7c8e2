"""What is kept of the server's errors, text by text as MySQL writes them."""

import pytest

from shared.mysql.error_texts import LEFT_OUT, without_values


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (3, "Error writing file '/tmp/MLfd=61' (OS errno 28 - No space left on device)"),
        (1142, "INSERT command denied to user 'app'@'10.0.0.1' for table 'customers'"),
        (1146, "Table 'crossdock.customers' doesn't exist"),
        (1205, "Lock wait timeout exceeded; try restarting transaction"),
        (1213, "Deadlock found when trying to get lock; try restarting transaction"),
        (1290, "The MySQL server is running with the --read-only option so it cannot ..."),
        (2013, "Lost connection to MySQL server during query"),
        (3024, "Query execution was interrupted, maximum statement execution time exceeded"),
    ],
)
def test_a_text_that_can_hold_no_value_is_kept(number: int, text: str) -> None:
    assert without_values(number, text) == text


@pytest.mark.parametrize(
    ("number", "text", "kept"),
    [
        (1062, "Duplicate entry 'secret' for key 't.PRIMARY'", "DUP_ENTRY; for key 't.PRIMARY'"),
        (
            1062,
            "Duplicate entry 'a for key 'secret' CONSTRAINT `secret` FOREIGN KEY' for key 't.k'",
            "DUP_ENTRY; for key 't.k'",
        ),
        (
            1366,
            "Incorrect integer value: 'Column 'secret'' for column 'odometer' at row 3",
            "TRUNCATED_WRONG_VALUE_FOR_FIELD; for column 'odometer' at row 3",
        ),
        (1406, "Data too long for column 'c' at row 1", "DATA_TOO_LONG; for column 'c' at row 1"),
        (1364, "Field 'c' doesn't have a default value", "NO_DEFAULT_FOR_FIELD; Field 'c'"),
        (
            1452,
            (
                "Cannot add or update a child row: a foreign key constraint fails (`d`.`t`, "
                "CONSTRAINT `t_1` FOREIGN KEY (`a`) REFERENCES `u` (`a`))"
            ),
            "NO_REFERENCED_ROW_2; CONSTRAINT `t_1`",
        ),
        (
            3819,
            "Check constraint 'c' is violated.",
            "CHECK_CONSTRAINT_VIOLATED; Check constraint 'c'",
        ),
    ],
)
def test_of_one_that_quotes_a_row_the_name_and_the_place_are_kept(
    number: int, text: str, kept: str
) -> None:
    assert without_values(number, text) == f"{kept}; {LEFT_OUT}"


@pytest.mark.parametrize(
    ("number", "text", "name"),
    [
        (
            1064,
            "You have an error in your SQL syntax; ... near 'secret' at line 1",
            "PARSE_ERROR; ",
        ),
        (1292, "Truncated incorrect INTEGER value: 'secret'", "TRUNCATED_WRONG_VALUE; "),
        (1292, "Truncated incorrect INTEGER value: 'x for key 'secret'", "TRUNCATED_WRONG_VALUE; "),
        (1644, "no such zip: secret", "SIGNAL_EXCEPTION; "),
        (1690, "BIGINT value is out of range in '(5 - secret)'", "DATA_OUT_OF_RANGE; "),
        (64999, "secret", ""),
    ],
)
def test_of_any_other_only_the_name_is_kept(number: int, text: str, name: str) -> None:
    assert without_values(number, text) == f"{name}{LEFT_OUT}"
