"""Speech in: a command that reads an audio file and writes down what is said in it.

`{input}` in the command is replaced by the file's path; without it, the path is its last argument. What it writes to
its output is the transcript.
"""

from __future__ import annotations

import os

from actors import on
from actors.jobs import commands
from actors.jobs.offload import Cancel
from actors.jobs.requests import Fault, Transcribe, Transcript
from actors.services.base import Service, words

_PLACE = "{input}"


class SpeechInService(Service):
    """Transcribes audio files.

    Args:
        command: Program and arguments; needed.
        timeout: Seconds one file may take.
        concurrency: Most files at once.

    Raises:
        TypeError: `command` is no list of words.
    """

    def __init__(self, command: list[str] | None = None, timeout: float = 120.0, concurrency: int = 1) -> None:
        super().__init__(timeout=timeout, concurrency=concurrency)
        self._command = words("command", command)

    def settings(self) -> dict[str, object]:
        return {"command": self._command}

    def probe(self, _: Cancel) -> str:
        return commands.find_program(self._command)

    @on(Transcribe)
    async def transcribe(self, message: Transcribe) -> Transcript | Fault:
        return await self.call(self.write_down, message.path)

    def write_down(self, cancel: Cancel, path: str) -> Transcript:
        """Return what is said in the file at `path`; blocks.

        Raises:
            FileNotFoundError: There is no such file.
            CommandError: The command failed.
        """
        audio = os.path.abspath(path)  # never taken for an option of the command
        if not os.path.isfile(audio):
            raise FileNotFoundError(f"no audio file at {audio}")
        argv = [word.replace(_PLACE, audio) for word in self._command]
        if not any(_PLACE in word for word in self._command):
            argv.append(audio)
        output = commands.run(argv, timeout=self._timeout, cancel=cancel)
        return Transcript(output.stdout.decode("utf-8", "replace").strip(), output.seconds)
