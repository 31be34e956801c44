"""Speech out: a command that reads text and makes an audio file, such as espeak-ng.

`{output}` in the command is replaced by the file it is to write (`["espeak-ng", "--stdin", "-w", "{output}"]`); without
it, what the command writes to its output is the file.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from actors import on
from actors.addresses import check_segment
from actors.jobs import commands
from actors.jobs.files import write_atomic
from actors.jobs.offload import Cancel
from actors.jobs.requests import Fault, Speak, Spoken
from actors.services.base import Service, words
from actors.services.errors import ServiceFaultError

_PLACE = "{output}"


class SpeechOutService(Service):
    """Speaks text into files.

    Args:
        command: Program and arguments; needed.
        directory: Where the files go; made where it is missing.
        timeout: Seconds one text may take.
        concurrency: Most texts at once.

    Raises:
        TypeError: `command` is no list of words.
    """

    def __init__(
        self, command: list[str] | None = None, directory: str = "speech", timeout: float = 60.0, concurrency: int = 1
    ) -> None:
        super().__init__(timeout=timeout, concurrency=concurrency)
        self._command = words("command", command)
        self._directory = Path(directory)

    def settings(self) -> dict[str, object]:
        return {"command": self._command}

    def probe(self, _: Cancel) -> str:
        program = commands.find_program(self._command)
        self._directory.mkdir(parents=True, exist_ok=True)
        if not os.access(self._directory, os.W_OK):
            raise PermissionError(f"{self._directory} cannot be written")
        return f"{program} into {self._directory}"

    @on(Speak)
    async def speak(self, message: Speak) -> Spoken | Fault:
        return await self.call(self.make, message.text, message.name)

    def make(self, cancel: Cancel, text: str, name: str) -> Spoken:
        """Make the audio file `name` of `text`; blocks. A file that was there is replaced whole, or stays.

        Raises:
            CommandError: The command failed.
            ServiceFaultError: It made no audio.
            AddressError: `name` is no plain file name.
        """
        target = self._directory / check_segment(name)
        made = self._directory / f".{name}.{os.getpid()}.{threading.get_ident()}.part"
        argv = [word.replace(_PLACE, str(made)) for word in self._command]
        try:
            output = commands.run(argv, stdin=text.encode(), timeout=self._timeout, cancel=cancel)
            if any(_PLACE in word for word in self._command):
                if not made.is_file() or made.stat().st_size == 0:
                    raise ServiceFaultError(f"{self._command[0]} wrote no audio")
                os.replace(made, target)
            else:
                if not output.stdout:
                    raise ServiceFaultError(f"{self._command[0]} wrote no audio")
                write_atomic(target, output.stdout)
        finally:
            made.unlink(missing_ok=True)
        return Spoken(str(target), target.stat().st_size, output.seconds)
