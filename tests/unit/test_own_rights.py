"""Which tables rows may be deleted from, out of what SHOW GRANTS says."""

import pytest

from shared.mysql.own_rights import may_delete


@pytest.mark.parametrize(
    ("grant", "may"),
    [
        ("GRANT USAGE ON *.* TO `a`@`%`", False),
        ("GRANT SELECT, INSERT, UPDATE, DELETE, CREATE ON *.* TO `a`@`%`", True),
        ("GRANT ALL PRIVILEGES ON `cross\\_dock`.* TO `a`@`%` WITH GRANT OPTION", True),
        ("GRANT ALL PRIVILEGES ON `cross\\_dick`.* TO `a`@`%`", False),
        ("GRANT DELETE ON `cross%`.* TO `a`@`%`", True),
        ("GRANT DELETE ON `cross_`.* TO `a`@`%`", False),
        ("GRANT SELECT (`load_id`), INSERT, DELETE ON `cross_dock`.`load_reject` TO `a`@`%`", True),
        ("GRANT SELECT, DELETE ON `cross_dock`.`load_file` TO `a`@`%`", False),
        ("GRANT SELECT, INSERT ON `cross_dock`.`load_reject` TO `a`@`%`", False),
        ("GRANT EXECUTE ON PROCEDURE `cross_dock`.`end_worker` TO `a`@`%`", False),
        ("GRANT `a_role`@`%` TO `a`@`%`", False),
    ],
)
def test_a_line_of_show_grants_lets_rows_be_deleted_or_does_not(grant: str, may: bool) -> None:
    assert may_delete([grant], "cross_dock", "load_reject") is may
