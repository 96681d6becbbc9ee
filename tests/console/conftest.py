"""A shop at rest with a story to tell."""

import asyncio
from collections.abc import Iterator

import pytest

from tests import databases
from tests.console import story as stories
from tests.console.story import Story


@pytest.fixture(scope="module")
def told_once(server: str) -> Iterator[Story]:
    made = asyncio.run(stories.make(server))
    yield made
    asyncio.run(databases.drop(server, made.url))


@pytest.fixture
def story(server: str, told_once: Story) -> Iterator[Story]:
    """A copy of it for one test."""
    copy = asyncio.run(stories.copied(server, told_once))
    yield copy
    asyncio.run(databases.drop(server, copy.url))
