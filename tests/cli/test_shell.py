"""The shell has the models, a scope if one is wanted, and runs a line."""

from __future__ import annotations

from tests.cli.conftest import SETTINGS, Project


def test_an_expression_is_printed_and_a_statement_is_run(filled: Project) -> None:
    assert filled("shell", "-c", "User.select().count()").stdout == "20\n"
    assert filled("shell", "-c", "for n in range(2): print(n, fn.COUNT)").stdout.startswith("0 ")
    assert filled("shell", "-c", "None").stdout == ""


def test_a_scope_holds_for_the_line(filled: Project) -> None:
    filled("shell", "--db", "archive", "-c", "User.create_table()")
    assert filled("shell", "--db", "archive", "-c", "User.select().count()").stdout == "0\n"
    assert filled("shell", "-c", "User.select().using('archive').count()").stdout == "0\n"


def test_the_prompt_knows_the_models(filled: Project) -> None:
    done = filled.apart("shell", "--plain", "--db", "archive", stdin=(filled.folder / "multidb.toml").open())
    assert "Models: Invoice, User, Order" in done.stderr and "use_db('archive')" in done.stderr
    file = filled.folder / "lines"
    file.write_text("print(User.select().count() + 1)\n")
    with file.open() as lines:
        done = filled.apart("shell", "--plain", stdin=lines)
    assert done.returncode == 0 and "21" in done.stdout


def test_an_error_of_the_line_is_a_sentence(filled: Project) -> None:
    result = filled("shell", "-c", "databases['nowhere']")
    assert (result.exit_code, result.stderr.startswith("error: No database is called 'nowhere'")) == (3, True)


def test_an_error_of_a_driver_names_the_database(project: Project) -> None:
    project.settings(SETTINGS.replace("sqlite:///default.db", "sqlite:////no/such/folder/default.db"))
    result = project("shell", "-c", "User.select().count()")
    assert result.exit_code == 4 and result.stderr.startswith("error: default: unable to open database file")
