"""Imports go downwards only, and importing has no effect."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "vidcolor"
MODULES = sorted(ROOT.rglob("*.py"))
# from the top downwards; a module imports what stands below its own line
LAYERS = [
    ["__main__"],
    ["cli", "training.cli", "evaluation.cli", "report.cli"],
    ["evaluation.cli_images", "evaluation.cli_stability", "evaluation.cli_video"],
    ["cli_inspect", "evaluation.cli_common", "training.cli_progress"],
    ["cli_progress", "cli_options", "cli_targets"],
    ["cli_process"],
    ["training", "evaluation", "report"],
    ["job", "status", "preview"],
    ["filmjob"],
    ["finished"],
    ["resumable"],
    ["processes", "cluster"],
    ["crew"],
    ["assembly", "making", "planning"],
    ["ending", "streaming"],
    ["film"],
    ["encoding"],
    ["film_limits", "film_times", "watching"],
    ["target", "manifest", "machine", "workplace"],
    ["framesource", "contents"],
    ["spool"],
    ["result"],
    ["pipeline"],
    ["batches", "scan"],
    ["reading", "segments"],
    ["packing"],
    ["statearrays"],
    ["matching", "sparse"],
    ["temporal", "export_server"],
    ["bars", "predictors"],
    ["stages"],
    ["motion", "thumbnails"],
    ["media", "checkpoint", "threads", "sharing", "devices", "modelcache", "exporter"],
    ["networks", "frames", "chromatable", "options"],
    ["colorspace"],
    ["matrices"],
    ["writing", "logs", "captions", "marks", "resizing", "torchthreads", "sink", "weightfiles"],
    ["errors", "interpreter", "memory", "_version"],
]
SLOW = {"torch", "av", "cv2", "numpy", "tqdm", "click"}


def name_of(path: Path) -> str:
    """Dotted name below the package; the package itself has none."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(p for p in parts if p != "__init__")


def imports_of(path: Path, *, at_import: bool = False) -> set[str]:
    """Names that a module imports; with ``at_import`` only those it imports when it is imported itself."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree)) if not at_import else [n for part in tree.body for n in outermost(part)]
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def outermost(node: ast.AST) -> list[ast.AST]:
    """A statement of a module with what runs at once in it: no function bodies, no TYPE_CHECKING."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return []
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
        return []
    return [node, *(inner for child in ast.iter_child_nodes(node) for inner in outermost(child))]


def layer_of(name: str) -> int | None:
    """Number of the layer of a module, counted from the top."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        for index, layer in enumerate(LAYERS):
            if ".".join(parts[:length]) in layer:
                return index
    return None


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_downwards_only(path: Path) -> None:
    own = layer_of(name_of(path))
    if own is None:
        assert path == ROOT / "__init__.py", "a module without a layer"
        return
    package = name_of(path).split(".")[0]
    for other in imports_of(path):
        name = other.removeprefix("vidcolor.")
        below = layer_of(name) if other.startswith("vidcolor.") else None
        if below is None or (below == own and name.split(".")[0] == package):
            continue
        assert below > own or (below == own and package not in ("stages",)), f"{name_of(path)} imports {name}"


@pytest.mark.parametrize("path", sorted((ROOT / "stages").glob("*.py")), ids=name_of)
def test_stages_never_import_each_other(path: Path) -> None:
    others = {n for n in imports_of(path) if n.startswith("vidcolor.stages")}
    assert not others


@pytest.mark.parametrize("path", sorted((ROOT / "stages").glob("*.py")), ids=name_of)
def test_stages_start_no_thread_and_open_no_file(path: Path) -> None:
    assert not {n.split(".")[0] for n in imports_of(path)} & {"threading", "queue", "concurrent"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "open"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_the_command_line_prints_or_imports_click_and_tqdm(path: Path) -> None:
    if path.stem.startswith("cli"):
        return
    assert not {n.split(".")[0] for n in imports_of(path)} & {"click", "tqdm"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") < 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno:
            first = node.body[0].end_lineno if ast.get_docstring(node) else node.lineno
            assert node.end_lineno - (first or node.lineno) < 60, node.name


def test_importing_the_package_imports_nothing_slow_and_sets_nothing_up() -> None:
    code = (
        "import logging, sys\nimport vidcolor, vidcolor.errors, vidcolor.options\n"
        "assert not logging.root.handlers and not logging.getLogger('vidcolor').handlers\n"
        f"sys.exit(', '.join({SLOW!r} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("path", sorted(ROOT.glob("cli*.py")), ids=name_of)
def test_the_command_line_imports_what_is_slow_late(path: Path) -> None:
    slow = {n.split(".")[0] for n in imports_of(path, at_import=True)} & (SLOW - {"click"})
    assert not slow


def test_training_from_pictures_needs_no_decoder_of_video() -> None:
    code = (
        "import sys\n"
        "for name in ('av', 'cv2', 'click', 'tqdm', 'filelock', 'platformdirs'):\n"
        "    sys.modules[name] = None\n"
        "import vidcolor.training.building, vidcolor.training.data, vidcolor.training.run\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
