"""Two actors: one counts words, the other reads the text files of a folder and sends it what it has not seen yet.

While `actorctl run` runs in one terminal, try in another:

    actorctl tree
    actorctl ask /app/counter Top '{"limit": 5}'
    actorctl send /app/counter Break '{"why": "just to see"}'
    actorctl why /app/counter
"""

from collections import Counter
from pathlib import Path

from msgspec import Struct

from actors import Actor, Message, on


class WordCount(Struct, frozen=True):
    """A word and how often it was seen."""

    word: str
    count: int


class Count(Message[None], frozen=True):
    """Count the words of a text."""

    text: str


class Top(Message[list[WordCount]], frozen=True):
    """Ask for the most frequent words. The answer's type is part of the message."""

    limit: int = 10


class Break(Message[None], frozen=True):
    """Make the counter fail, to watch it come back."""

    why: str = "you asked for it"


class Look(Message[None], frozen=True):
    """Time to look at the folder."""


class WordCounter(Actor):
    """Counts words. What it has counted is lost when it restarts: an actor begins anew."""

    def on_start(self) -> None:
        self.words: Counter[str] = Counter()

    @on(Count)
    def count(self, message: Count) -> None:
        self.words.update(word.strip(".,:;!?()[]{}\"'`#*=<>-").lower() for word in message.text.split())
        del self.words[""]

    @on(Top)
    def top(self, message: Top) -> list[WordCount]:
        return [WordCount(word, count) for word, count in self.words.most_common(message.limit)]

    @on(Break)
    def fail(self, message: Break) -> None:
        raise RuntimeError(message.why)  # not caught on purpose: the supervisor deals with it

    def state_view(self) -> dict[str, object]:
        """What `actorctl describe --state /app/counter` shows."""
        return {"words": self.words.total(), "different": len(self.words)}


class FolderReader(Actor):
    """Looks at a folder again and again, and sends the text of new and changed files to the counter."""

    def __init__(self, folder: str, every: float) -> None:
        super().__init__()
        self.folder = Path(folder)
        self.interval = every
        self.seen: dict[Path, float] = {}

    def on_start(self) -> None:
        self.counter = self.system.ref("/app/counter")  # a ref by path stays good when the counter restarts
        self.actor_ref.tell(Look())  # now, and then again and again
        self.every(self.interval, Look())

    @on(Look)
    def look(self, message: Look) -> None:
        for path in sorted(self.folder.glob("*")):
            if path.suffix in {".md", ".py", ".toml", ".txt"} and path.is_file():
                changed_at = path.stat().st_mtime
                if self.seen.get(path) != changed_at:
                    self.seen[path] = changed_at
                    self.counter.tell(Count(path.read_text(encoding="utf-8", errors="replace")))

    def state_view(self) -> dict[str, object]:
        return {"folder": str(self.folder.absolute()), "files": len(self.seen)}
