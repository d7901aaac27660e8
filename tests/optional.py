"""Modules that tests need and users do not."""

import importlib
import os
import warnings

import pytest


def needs(name):
    """The module. Without it the test is skipped, but fails where CI=true: there it must be installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"{name} is not installed", allow_module_level=True)
