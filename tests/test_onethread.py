"""Work on small tensors is done on one thread, and the number of threads is then as before."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from vidcolor.chromatable import _atlas
from vidcolor.colorspace import BT709
from vidcolor.onethread import one_thread


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_the_number_of_threads_is_then_as_before() -> None:
    torch.set_num_threads(3)
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3
    with pytest.raises(ValueError, match="inside"), one_thread():
        raise ValueError("inside")
    assert torch.get_num_threads() == 3


def test_the_table_of_chroma_does_not_depend_on_the_number_of_threads() -> None:
    tables = []
    for count in (1, 2, 5):
        torch.set_num_threads(count)
        tables.append(_atlas.__wrapped__(BT709))
    assert all(np.array_equal(tables[0], table) for table in tables[1:])
