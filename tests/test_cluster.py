"""Films made by a Ray cluster: two nodes on this machine, the folder of the test as their shared storage."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from test_resume import Stop, fingerprint, left_in
from test_shots_apart import cut_film, shipped

import vidcolor.cluster
from vidcolor import segments
from vidcolor.crew import Setup, setup_of
from vidcolor.errors import Interrupted, OutputError, ResumeMismatch, UsageError
from vidcolor.logs import WarningCollector
from vidcolor.making import Maker
from vidcolor.options import Options
from vidcolor.packing import Place

ray = pytest.importorskip("ray")
cluster_utils = pytest.importorskip("ray.cluster_utils")

LENGTHS = (8, 10, 13, 30, 26, 6, 13, 12, 14)
FRAMES = sum(LENGTHS)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes; each has room for one task of this process's threads."""
    made = cluster_utils.Cluster(
        initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False}
    )
    made.add_node(num_cpus=2)
    ray.init(
        address=made.address, log_to_driver=False, configure_logging=False,
        runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}},
    )  # fmt: skip
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cut_film(tmp_path_factory.mktemp("film") / "in.mkv", LENGTHS)


@pytest.fixture(scope="module")
def whole(film: Path) -> list[Any]:
    """Of the film as one process makes it."""
    target = film.with_name("whole.mkv")
    assert shipped(film, target).frames == FRAMES
    return fingerprint(target)


def kill_the_first(setup: Setup, number: int, place: Place | None) -> list[str]:
    """In place of a worker's task: the first is killed in the middle of its work."""
    mark = setup.work.folder.parent / "killed"
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return vidcolor.cluster._make_shot(setup, number, place)


def test_a_cluster_makes_the_film_that_one_process_makes(
    cluster: Any, film: Path, whole: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # names are told to workers in full
    with mock.patch.object(Maker, "make", side_effect=AssertionError("the workers make it")):
        assert shipped(film, Path("out.mkv"), ray=cluster.address).frames == FRAMES
    assert fingerprint(tmp_path / "out.mkv") == whole
    assert left_in(tmp_path) == []


def test_shots_of_a_lost_worker_are_made_again(
    cluster: Any, film: Path, whole: list[Any], tmp_path: Path
) -> None:
    with mock.patch("vidcolor.cluster._make_shot", kill_the_first):
        assert shipped(film, tmp_path / "out.mkv", ray=cluster.address, jobs=2).frames == FRAMES
    assert (tmp_path / "killed").exists()
    assert fingerprint(tmp_path / "out.mkv") == whole


def test_a_job_that_is_stopped_keeps_what_the_cluster_finished(
    cluster: Any, film: Path, whole: list[Any], tmp_path: Path
) -> None:
    with pytest.raises(Interrupted):
        shipped(film, tmp_path / "out.mkv", ray=cluster.address, stop_after=0)
    kept = list((tmp_path / ".out.mkv.vidcolor").glob("*.segment"))
    assert kept
    assert shipped(film, tmp_path / "out.mkv").frames == FRAMES
    assert fingerprint(tmp_path / "out.mkv") == whole


def test_a_machine_may_be_lost_in_the_middle(
    cluster: Any, film: Path, whole: list[Any], tmp_path: Path
) -> None:
    node = cluster.add_node(num_cpus=2)
    removed = []

    def lose(*_: object) -> None:
        if not removed:
            removed.append(node)
            cluster.remove_node(node, allow_graceful=False)

    with mock.patch("vidcolor.result.Meter.tell_of", side_effect=lose):
        assert shipped(film, tmp_path / "out.mkv", ray=cluster.address).frames == FRAMES
    assert removed
    assert fingerprint(tmp_path / "out.mkv") == whole


def test_an_error_of_a_worker_names_the_machine(cluster: Any, film: Path, tmp_path: Path) -> None:
    def elsewhere(self: Maker) -> Setup:
        return replace(setup_of(self), work=self.work.__class__(tmp_path / "elsewhere" / "out.mkv"))

    with (
        mock.patch("vidcolor.cluster.setup_of", elsewhere),
        pytest.raises(OutputError, match=r"on .*elsewhere.*all machines need the same storage"),
    ):
        shipped(film, tmp_path / "out.mkv", ray=cluster.address)


@pytest.fixture
def setup(film: Path, tmp_path: Path) -> Setup:
    """As a job would give it to its workers."""
    made: list[Setup] = []

    def stop(maker: Maker) -> None:
        made.append(setup_of(maker))
        raise Stop

    with mock.patch("vidcolor.cluster.make_on_cluster", stop), pytest.raises(Stop):
        shipped(film, tmp_path / "out.mkv", ray="auto")
    (tmp_path / ".out.mkv.vidcolor").mkdir(exist_ok=True)
    made[0].manifest.write(made[0].work.manifest_path)
    return made[0]


def test_a_worker_reads_none_of_what_lies_behind_its_shot(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The whole film may be finished there but for one shot, and each worker would read it for each shot."""
    monkeypatch.setattr(vidcolor.cluster, "_worker", None)
    monkeypatch.setattr(vidcolor.cluster, "_warnings", WarningCollector())
    vidcolor.cluster._make_shot(setup, 0, None)
    made = sorted(setup.work.folder.glob("*.segment"))
    for number in range(50, 60):
        shutil.copy(made[0], made[0].with_name(f"{number:06d}{made[0].name[6:]}"))
    with (
        mock.patch("vidcolor.segments._digest_of", side_effect=segments._digest_of) as digest,
        mock.patch.object(Maker, "make", side_effect=AssertionError("it is there")),
    ):
        vidcolor.cluster._make_shot(setup, 0, None)
    assert [call.args[0] for call in digest.call_args_list] == made
    made[0].write_bytes(made[0].read_bytes()[:-1] + b"x")  # its hash is another one now
    again = mock.patch.object(Maker, "make", side_effect=OutputError("made again"))
    with again, pytest.raises(OutputError, match="made again"):
        vidcolor.cluster._make_shot(setup, 0, None)


def test_a_worker_that_would_make_another_film_refuses(setup: Setup, film: Path, tmp_path: Path) -> None:
    vidcolor.cluster._require_the_same(setup)
    with mock.patch("vidcolor.machine.processors", lambda: 77):  # the encoder does as with those of the job
        vidcolor.cluster._require_the_same(setup)
        with pytest.raises(ResumeMismatch, match=r"processors was \d+, now 77"):
            vidcolor.cluster._require_the_same(replace(setup, anywhere=False))
    other = film.with_name("other.mkv")
    other.write_bytes(film.read_bytes() + b"more")
    with pytest.raises(ResumeMismatch, match="the input has changed"):
        vidcolor.cluster._require_the_same(replace(setup, name=str(other)))
    with mock.patch("av.library_versions", {"libavcodec": (1, 2, 3)}):
        with pytest.raises(ResumeMismatch, match=r"libavcodec was .*now 1\.2\.3.*--accept-drift"):
            vidcolor.cluster._require_the_same(setup)
        vidcolor.cluster._require_the_same(replace(setup, options=replace(setup.options, accept_drift=True)))
    replace(setup.manifest, batch_limit=2).write(setup.work.manifest_path)  # a worker's memory ran out
    vidcolor.cluster._require_the_same(setup)
    with pytest.raises(OutputError, match="the same storage"):
        vidcolor.cluster._require_the_same(replace(setup, manifest=replace(setup.manifest, total=1)))


@pytest.mark.parametrize(
    "address", ["127.0.0.1:1", "ray://127.0.0.1:1", "no.such.host.invalid:6379", "[::1]:x"]
)
def test_where_no_cluster_answers_it_says_so_at_once(address: str, film: Path, tmp_path: Path) -> None:
    with (
        mock.patch("ray.is_initialized", return_value=False),
        pytest.raises(UsageError, match="no Ray cluster answers"),
    ):
        shipped(film, tmp_path / "out.mkv", ray=address)
    assert left_in(tmp_path) == []


def test_a_cluster_of_its_own_is_not_begun(film: Path, tmp_path: Path) -> None:
    with (
        mock.patch("ray.is_initialized", return_value=False),
        mock.patch("ray.init", side_effect=AssertionError),
        pytest.raises(UsageError, match="--ray local: give HOST:PORT, or auto"),
    ):
        shipped(film, tmp_path / "out.mkv", ray="local")
    assert left_in(tmp_path) == []


def test_without_ray_it_says_how_to_get_it(film: Path, tmp_path: Path) -> None:
    with mock.patch.dict(sys.modules, {"ray": None}), pytest.raises(UsageError, match=r"vidcolor\[ray\]"):
        shipped(film, tmp_path / "out.mkv", ray="auto")
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(("source", "target"), [("-", "out.mp4"), ("in.mkv", "-")])
def test_a_cluster_needs_files(source: str, target: str, film: Path) -> None:
    with pytest.raises(UsageError, match="--ray"):
        shipped(film.with_name(source) if source != "-" else Path("-"), Path(target), ray="auto")


def test_a_cluster_gives_out_devices_itself() -> None:
    with pytest.raises(UsageError, match="of --ray gives out devices"):
        Options(ray="auto", device="cpu,cpu")
    with pytest.raises(UsageError, match="ray: is empty"):
        Options(ray="")
