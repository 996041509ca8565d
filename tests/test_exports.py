"""Everything the library promises by name is there, and nothing else answers."""

import pytest

import planner


@pytest.mark.parametrize("name", sorted(planner._HOME))
def test_every_public_name_loads_and_is_documented(name):
    assert getattr(planner, name).__doc__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        planner.nonsense  # noqa: B018
