"""The number of torch's threads is as asked, and then as before."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from vidcolor.torchthreads import torch_threads


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [1, 2])
def test_the_number_of_threads_is_then_as_before(count: int) -> None:
    torch.set_num_threads(3)
    with torch_threads(count):
        assert torch.get_num_threads() == count
    assert torch.get_num_threads() == 3
    with pytest.raises(ValueError, match="inside"), torch_threads(count):
        raise ValueError("inside")
    assert torch.get_num_threads() == 3
