"""Empties the database after a test that commits.

Django truncates every table and makes all content types and permissions anew, which takes longer than most
tests. Here rows are deleted where there are any, and those two tables stay as they are.
"""

from typing import Any

from django.db import IntegrityError, connection, transaction

_KEPT = {"django_migrations", "django_content_type", "auth_permission"}


def empty_tables(_test_case: Any = None) -> None:
    """Delete every row that tests can have made. Takes the place of a method of Django's test case.

    A thread that the test has left behind may write one more row in between: then once more.
    """
    for last in (False, False, True):
        try:
            _delete_all_rows()
        except IntegrityError:
            if last:
                raise
        else:
            return


def _delete_all_rows() -> None:
    tables = set(connection.introspection.django_table_names(only_existing=True, include_views=False))
    names = [connection.ops.quote_name(name) for name in sorted(tables - _KEPT)]
    checks = [f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM {name})" for name in names]  # noqa: S608
    with connection.constraint_checks_disabled(), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(checks))
        for (name,) in cursor.fetchall():
            cursor.execute(f"DELETE FROM {name}")  # noqa: S608
