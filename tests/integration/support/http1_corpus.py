"""Reads tests/corpus/http1; its README.md describes the files."""

from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "corpus" / "http1"


@dataclass
class Case:
    name: str
    data: bytes = b""
    requests: list = field(default_factory=list)  # (method, target, body bytes)
    status: int = 0                               # 0: nothing is refused
    why: str = ""


def _case(path):
    case = Case(f"{path.parent.name}/{path.stem}", path.read_bytes())
    repetitions = []
    for line in path.with_suffix(".expect").read_text().splitlines():
        directive, _, rest = line.partition(" ")
        if directive == "#":
            case.why += rest
        elif directive == "repeat":
            mark, count, text = rest.split(" ", 2)
            text = text.replace("\\r", "\r").replace("\\n", "\n").encode()
            repetitions.append((mark.encode(), text * int(count)))
        elif directive == "request":
            method, target, size = rest.split(" ")
            case.requests.append((method, target, int(size)))
        elif directive == "status":
            case.status = int(rest)
        else:
            raise ValueError(f"{path}: {line}")
    for mark, text in repetitions:
        case.data = case.data.replace(mark, text)
    return case


def read_corpus():
    """All cases, the valid ones first."""
    return [_case(path) for kind in ("valid", "invalid")
            for path in sorted((FOLDER / kind).glob("*.http"))]
