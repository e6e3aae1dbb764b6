"""Apertium (https://www.apertium.org): rule-based translation through one long-lived process.

The modes that Debian's packages install are shell pipelines. Started once, in null-flush mode, a
pipeline answers every text ended by a NUL byte with a translation ended by one, at about a
millisecond a sentence; a pipeline a sentence costs a few hundred.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import re
import selectors
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from dormant.errors import DormantError
from dormant.prompts.text_transform import all_or_raise
from dormant.translation.engine import Pair, TranslationError, unavailable
from dormant.translation.languages import by_code, find

INSTALL = (
    "install Debian's apertium and the package of a pair (apt-cache search apertium), e.g. "
    "apt install apertium apertium-eng-spa"
)
_MODES = Path("/usr/share/apertium/modes")
_SPECIAL = re.compile(r"[\\\[\]{}^$/<>]")
# An end of sentence that the tagger waits for, and which is taken off again.
_END = ".[]"
# Its full stop is swallowed by an abbreviation: "Mr" with it is "Mr.", one word.
_ENDED = re.compile(r"\.?\[\]\Z")
# Signs of the text that would be lost or taken for Apertium's marks: they travel as format.
_FORMAT = re.compile(r"[*~#@]")
# Apertium's marks: * a word that no dictionary has, @ one that the bilingual one lacks, # one that
# could not be inflected, which is translated all the same.
_UNKNOWN = re.compile(r"(?:\\?@|\*)(?=\w)")
# All of Apertium's signs, read once from left to right: what travelled as format, marks (the text's
# own are format), and what is escaped.
_OUTPUT = re.compile(r"\[([*~#@])\]|\\?@|[*#]|\\(.)", re.DOTALL)
_WORD = re.compile(r"[^\W\d_]+")
_PRONOUN = re.compile(r"I(?!\w)")
_REVISION = 3
"""Raised whenever what is done here around the program changes a result."""
_LONGEST_SILENCE_S = 30.0


class Apertium:
    """The installed Apertium pairs.

    Attributes:
        name: "apertium".
        modes: Directory of the installed modes.
    """

    name = "apertium"

    def __init__(self, modes: Path = _MODES) -> None:
        self.modes = modes
        self._pipes: dict[tuple[int, str, str], _Pipe] = {}
        self._lock = threading.Lock()
        atexit.register(self.close)

    def pairs(self) -> list[Pair]:
        """Return the installed pairs; none if the program itself is not installed."""
        if shutil.which("apertium-wblank-mode") is None:
            return []
        return sorted(_modes(self.modes))

    def version(self, source: str, target: str) -> str:
        """Return the versions of program and module, and a digest of the pair's data."""
        data = _data_digest(self._mode(source, target))
        return f"{_program_version()}r{_REVISION}-{data}"

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """Translate texts of one line each.

        A pipeline that dies or falls silent is started anew once, for the texts that are not done.

        Raises:
            BatchError: Some texts failed: most of their words are not in the dictionary, or the
                pipeline died or fell silent on them twice.
            DormantError: The pair is not installed.
        """
        mode = self._mode(source, target)
        done: list[str | DormantError] = []
        with self._lock:
            for _ in range(2):
                if self._go_on(mode, (source, target), texts, done):
                    break
        reason = "apertium ended, or fell silent, twice; finished translations are kept"
        done += [TranslationError(self.name, text, reason) for text in texts[len(done) :]]
        return all_or_raise(done)

    def _go_on(
        self, mode: Path, pair: Pair, texts: Sequence[str], done: list[str | DormantError]
    ) -> bool:
        """Translate the texts that are not done; return whether all are now."""
        # A forked process must not read from the pipeline of its parent.
        key = (os.getpid(), *pair)
        pipe = self._pipes.pop(key, None) or _Pipe(mode)
        try:
            pipe.feed([_escape(text) for text in texts[len(done) :]])
            while len(done) < len(texts):
                raw = pipe.read()
                if raw is None:
                    break
                done.append(self._finish(texts[len(done)], raw))
        except BaseException:
            # Answers still under way would be taken for those of the next texts.
            pipe.close()
            raise
        if len(done) < len(texts):
            pipe.close()
            return False
        self._pipes[key] = pipe
        return True

    def close(self) -> None:
        """End the processes."""
        for (process, _, _), pipe in self._pipes.items():
            if process == os.getpid():
                pipe.close()
        self._pipes.clear()

    def _mode(self, source: str, target: str) -> Path:
        mode = _modes(self.modes).get((source, target))
        if mode is None or shutil.which("apertium-wblank-mode") is None:
            raise unavailable(self.name, f"no pair {source}-{target}; {INSTALL}")
        return mode

    def _finish(self, text: str, raw: str) -> str | DormantError:
        marked = _ENDED.sub("", raw)
        missing, words = len(_UNKNOWN.findall(marked)), _WORD.findall(text)
        # A single capitalised word may be a name, which is the same in both languages.
        a_name = len(words) == 1 and words[0][0].isupper()
        if missing > len(words) / 2 and not a_name:
            return TranslationError(
                self.name, text, f"{missing} of its words are in no dictionary of the pair"
            )
        plain = _OUTPUT.sub(lambda sign: sign[1] or sign[2] or "", marked)
        # Words that are dropped in translation leave their space behind.
        if "  " not in text:
            plain = re.sub("  +", " ", plain)
        if text == text.strip():
            plain = plain.strip()
        return _as_it_began(text, plain)


class _Pipe:
    """One running pipeline."""

    def __init__(self, mode: Path) -> None:
        script = subprocess.run(
            ["apertium-wblank-mode", "-z", str(mode)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        # The mode's own arguments: -g marks unknown words; no option for the tagger.
        self._process = subprocess.Popen(
            ["bash", "-c", script, "apertium", "-g", ""],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._buffer = b""

    def feed(self, texts: Sequence[str]) -> None:
        """Write texts from a thread, so that neither side waits for the other's full pipe."""
        data = b"".join(text.encode(errors="replace") + b"\0" for text in texts)
        threading.Thread(target=self._write, args=(data,), daemon=True).start()

    def _write(self, data: bytes) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        with suppress(OSError, ValueError):  # the reader sees the end of a pipeline that died
            stdin.write(data)
            stdin.flush()

    def read(self) -> str | None:
        """Return the next translation, or `None` where the pipeline died or fell silent."""
        stdout = self._process.stdout
        assert stdout is not None
        deadline = time.monotonic() + _LONGEST_SILENCE_S
        with selectors.DefaultSelector() as ready:
            ready.register(stdout, selectors.EVENT_READ)
            while b"\0" not in self._buffer:
                if not ready.select(max(0.0, deadline - time.monotonic())):
                    return None
                read = os.read(stdout.fileno(), 1 << 16)
                if not read:
                    return None
                self._buffer += read
                deadline = time.monotonic() + _LONGEST_SILENCE_S
        answer, _, self._buffer = self._buffer.partition(b"\0")
        return answer.decode(errors="replace")

    def close(self) -> None:
        """End the whole pipeline."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                if stream is not None:
                    stream.close()


def _as_it_began(text: str, translation: str) -> str:
    """Begin a translation in lower case if its text does: some pairs make all text a sentence."""
    given, made = _WORD.search(text), _WORD.search(translation)
    if not given or not made or not given[0][0].islower():
        return translation
    word = made[0]
    if not word[0].isupper() or (len(word) > 1 and word.isupper()):
        return translation
    if _PRONOUN.match(translation, made.start()):
        return translation
    return translation[: made.start()] + word[0].lower() + translation[made.start() + 1 :]


def _escape(text: str) -> str:
    escaped = _SPECIAL.sub(lambda match: "\\" + match[0], text)
    return _FORMAT.sub(lambda match: f"[{match[0]}]", escaped) + _END


@cache
def _modes(directory: Path) -> dict[Pair, Path]:
    """Return the installed modes by pair, variants such as ``eng-cat_valencia`` left out."""
    found: dict[Pair, Path] = {}
    for mode in sorted(directory.glob("*.mode")):
        source, _, target = mode.stem.partition("-")
        if source in by_code() and target in by_code():
            found[find(source).code, find(target).code] = mode
    return found


@cache
def _program_version() -> str:
    said = subprocess.run(
        ["apertium", "-V"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    match = re.search(r"\d+(?:\.\d+)+", said.stdout + said.stderr)
    return match[0] if match else "unknown"


@cache
def _data_digest(mode: Path) -> str:
    digest = hashlib.sha256()
    for path in re.findall(r"'([^']+)'", mode.read_text(encoding="utf-8")):
        digest.update(Path(path).read_bytes())
    return f"{mode.stem}-{digest.hexdigest()[:8]}"
