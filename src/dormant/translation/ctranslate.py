"""Argos Translate packages, run by CTranslate2 itself.

An Argos package (https://www.argosopentech.com, ``.argosmodel`` unpacked) is a directory with
``metadata.json``, a SentencePiece model and a CTranslate2 model. Reading it needs two small
libraries; the argostranslate package would bring a sentence splitter with a second tensor library.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dormant.devices import local_rank, wanted
from dormant.errors import DormantError
from dormant.prompts.text_transform import all_or_raise
from dormant.translation.engine import Pair, TranslationError, unavailable
from dormant.translation.languages import by_code
from dormant.translation.marks import restore, spell_out

VARIABLE = "ARGOS_PACKAGES_DIR"
"""Environment variable that Argos Translate reads too: where its packages are."""

_BEAM_SIZE = 4
_BATCH_TOKENS = 2048
_LONGEST_TOKENS = 256


def default_directory() -> Path:
    """Return where Argos Translate installs its packages."""
    chosen = os.environ.get(VARIABLE)
    return Path(chosen) if chosen else Path.home() / ".local/share/argos-translate/packages"


@dataclass(frozen=True)
class Package:
    """One direction of translation.

    Attributes:
        path: Its directory.
        pair: Source and target language.
        release: The package's own version.
        tokens: Path of the SentencePiece model.
        prefix: Token that begins every translation, for packages of several targets.
    """

    path: Path
    pair: Pair
    release: str
    tokens: Path
    prefix: str


@dataclass
class Argos:
    """The Argos packages of a directory.

    Attributes:
        directory: Where the packages are, one directory each; or one package itself.
    """

    directory: Path
    name: str = field(default="argos", init=False)
    _loaded: dict[tuple[Pair, str, int], tuple[Any, Any]] = field(
        default_factory=dict[tuple[Pair, str, int], tuple[Any, Any]], init=False, repr=False
    )

    def pairs(self) -> list[Pair]:
        """Return the pairs of the packages that are there."""
        return sorted(self._packages())

    def version(self, source: str, target: str) -> str:
        """Return CTranslate2's version and the package's."""
        package = self._package(source, target)
        ctranslate2, _ = _libraries()
        return f"{ctranslate2.__version__}-{package.path.name}-{package.release}"

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """Translate texts of one line each.

        Raises:
            BatchError: Some texts are too long, or their translation did not come to an end.
            DormantError: The package is not there, or not readable.
        """
        package = self._package(source, target)
        model, tokens = self._load(package)
        spelt = [spell_out(text) for text in texts]
        pieces: list[list[str]] = tokens.encode([text for text, _ in spelt], out_type=str)
        short = [index for index, row in enumerate(pieces) if len(row) <= _LONGEST_TOKENS]
        answers = iter(
            model.translate_batch(
                [pieces[index] for index in short],
                target_prefix=[[package.prefix]] * len(short) if package.prefix else None,
                beam_size=_BEAM_SIZE,
                max_batch_size=_BATCH_TOKENS,
                batch_type="tokens",
                max_input_length=0,
                max_decoding_length=2 * _LONGEST_TOKENS,
                return_end_token=True,
            )
        )
        results: list[str | DormantError] = []
        for text, (_, names), row in zip(texts, spelt, pieces, strict=True):
            if len(row) > _LONGEST_TOKENS:
                reason = f"{len(row)} tokens in one sentence; the engine takes {_LONGEST_TOKENS}"
                results.append(TranslationError(self.name, text, reason))
                continue
            made: list[str] = next(answers).hypotheses[0]
            if not made or made[-1] != "</s>":
                reason = f"its translation had no end after {2 * _LONGEST_TOKENS} tokens"
                results.append(TranslationError(self.name, text, reason))
                continue
            plain = [token for token in made[:-1] if token != package.prefix]
            results.append(restore(str(tokens.decode(plain)), names))
        return all_or_raise(results)

    def _package(self, source: str, target: str) -> Package:
        package = self._packages().get((source, target))
        if package is None:
            raise unavailable(
                self.name,
                f"no package {source}-{target} in {self.directory}; unpack one there, or name its "
                f"directory as LANGUAGE@argos:DIRECTORY or in {VARIABLE}",
            )
        return package

    def _packages(self) -> dict[Pair, Package]:
        here = [self.directory, *sorted(self.directory.glob("*"))]
        found = [_read(path) for path in here if (path / "metadata.json").is_file()]
        return {package.pair: package for package in found}

    def _load(self, package: Package) -> tuple[Any, Any]:
        ctranslate2, sentencepiece = _libraries()
        device, index = _device(ctranslate2)
        key = (package.pair, device, index)
        if key not in self._loaded:
            try:
                self._loaded[key] = (
                    ctranslate2.Translator(
                        str(package.path / "model"), device=device, device_index=index
                    ),
                    sentencepiece.SentencePieceProcessor(model_file=str(package.tokens)),
                )
            except (RuntimeError, OSError, ValueError) as error:
                raise unavailable(self.name, f"{package.path} can't be loaded: {error}") from error
        return self._loaded[key]


def _device(ctranslate2: Any) -> tuple[str, int]:
    """Return the device that is wanted as CTranslate2 takes it; it knows no Apple GPUs.

    Without `pick_device`, which asks PyTorch: these packages run without it.
    """
    kind, _, number = wanted().partition(":")
    if kind == "auto":
        kind = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
    if kind != "cuda":
        return "cpu", 0
    return kind, int(number) if number.isdecimal() else local_rank()


def _read(path: Path) -> Package:
    metadata = path / "metadata.json"
    try:
        said = json.loads(metadata.read_text(encoding="utf-8"))
        source, target = str(said["from_code"]), str(said["to_code"])
    except (ValueError, KeyError, TypeError) as error:
        raise DormantError(f"{metadata}: no metadata of an Argos package: {error!r}") from error
    tokens = path / "sentencepiece.model"
    if not tokens.is_file():
        raise DormantError(f"{path}: only Argos packages with a sentencepiece.model can be read")
    # Codes such as "pt-br" and "zh" stand for themselves; what we know goes by our code.
    known = by_code()
    return Package(
        path=path,
        pair=tuple(known[c].code if c in known else c for c in (source, target)),  # pyright: ignore[reportArgumentType]
        release=str(said.get("package_version", "unknown")),
        tokens=tokens,
        prefix=str(said.get("target_prefix", "")),
    )


def _libraries() -> tuple[Any, Any]:
    try:
        import ctranslate2
        import sentencepiece
    except ImportError as error:
        raise unavailable("argos", "pip install 'dormant[argos]'") from error
    return ctranslate2, sentencepiece
