"""What a scoring of pictures or films is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vidcolor.errors import UsageError
from vidcolor.options import Options

FLOWS = ("farneback", "raft")
"""The methods that can judge motion."""


@dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """Options of ``vidcolor-eval images``.

    Attributes:
        data: folders and tars of photographs.
        weights: of the generator, a name or a file.
        limit: how many pictures to take, None for all.
        seed: of the choice of pictures, the halves, the KID subsets and the random dozen of the sheet.
        render_size: short side in pixels of what the generator sees.
        kid_subset: pictures in a subset of KID.
        metric_weights: folder with the networks that judge, None to have them downloaded.
        cache: folder for what depends on the pictures alone.
        sheet, results: files to write.
        record: whether the scores go into the metadata of the weights.
    """

    data: tuple[Path, ...]
    weights: str = Options.weights
    limit: int | None = None
    seed: int = 0
    render_size: int = Options.render_size
    device: str = Options.device
    kid_subset: int = 100
    metric_weights: Path | None = None
    cache: Path | None = None
    sheet: Path | None = None
    results: Path | None = None
    record: bool = False

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"--limit {self.limit}: at least one picture is needed")
        for name, path in (("--sheet", self.sheet), ("--results", self.results)):
            if path is not None and any(one.resolve() == path.resolve() for one in self.data):
                raise UsageError(f"{name} {path}: is one of the photographs, or holds them")
        if self.sheet is not None and any(one.resolve() in self.sheet.resolve().parents for one in self.data):
            raise UsageError(f"--sheet {self.sheet}: would be among the photographs next time")
        if (
            self.sheet is not None
            and self.results is not None
            and self.sheet.resolve() == self.results.resolve()
        ):
            raise UsageError(f"--sheet, --results: both are {self.sheet}")
        if self.kid_subset < 2:
            raise UsageError(f"--kid-subset {self.kid_subset}: at least two pictures are needed")


@dataclass(frozen=True, kw_only=True)
class VideoOptions:
    """Options of ``vidcolor-eval video``.

    Attributes:
        clips: colour films, and folders of them.
        weights: of the generator, a name or a file.
        limit: frames of a clip that are looked at, from its beginning.
        seed: of the synthetic flicker.
        render_size: short side in pixels of what the generator sees, and of all that is measured.
        temporal, smoothing, every_frame: the filter that is judged, as of a job.
        flow: who judges motion.
        metric_weights: folder with RAFT's weights.
        strips: folder for pictures of a column of pixels over time.
        results: file to write.
    """

    clips: tuple[Path, ...]
    weights: str = Options.weights
    limit: int = 150
    seed: int = 0
    render_size: int = Options.render_size
    device: str = Options.device
    temporal: str = Options.temporal
    smoothing: float = Options.smoothing
    every_frame: bool = Options.every_frame
    flow: str = FLOWS[0]
    metric_weights: Path | None = None
    strips: Path | None = None
    results: Path | None = None

    def __post_init__(self) -> None:
        if self.limit < 2:
            raise UsageError(f"--limit {self.limit}: at least two frames are needed")
        if self.flow not in FLOWS:
            raise UsageError(f"--flow {self.flow}: {', '.join(FLOWS)}")
        # refuses what a job would
        Options(temporal=self.temporal, smoothing=self.smoothing, device=self.device)
