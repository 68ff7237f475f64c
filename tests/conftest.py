"""What all suites share: the option with which tests/run asks for everything."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--full`: also what takes long; a test asks by `request.config.getoption("--full")`."""
    parser.addoption("--full", action="store_true", help="also what takes long (given by tests/run --full)")
