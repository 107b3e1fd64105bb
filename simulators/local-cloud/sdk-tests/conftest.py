"""A local cloud for a whole run, and everything that SDKs dial led to it."""

import os

import pytest

from cloud import Cloud, redirect

redirect()


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    cloud = Cloud(tmp_path_factory.mktemp("cloud"))
    yield cloud
    cloud.stop()


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    # The SDK's threads would complain of the interpreter's end.
    os._exit(config.stash.get(STATUS, 2))


STATUS = pytest.StashKey[int]()


def pytest_sessionfinish(session, exitstatus):
    session.config.stash[STATUS] = int(exitstatus)
