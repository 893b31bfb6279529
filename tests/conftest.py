"""What all suites in Python share: the libraries in tests/lib and the fixtures of office.py."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "lib"))

from office import office, own_office, pytest_runtest_makereport, shared_office  # noqa: E402,F401


def pytest_configure(config):
    config.addinivalue_line("markers", "office(**settings): settings of the configuration file of own_office")
