"""Tokens of another data set's documents."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from oodbench import DataError, Dataset, HasStamp, MissingDataError, Tokens
from plugins.datasets._common import MOST_TEXT, check_file, data_errors
from plugins.datasets.image_files import read_bytes
from plugins.datasets.text.documents import Documents


@dataclass(kw_only=True, eq=False)
class Tokenized(Documents):
    """Windows of tokens: the documents of another text data set, encoded by a tokenizer.

    The documents are those of the source, whole: its own `length` has no effect. Each is decoded
    from UTF-8 (other bytes become U+FFFD), encoded without special tokens, and cut into windows
    of `length` tokens, one after the other. The rest at the end of a document is dropped, and
    documents shorter than a window are passed over; notes count both. Another note tells the mean
    number of bytes of a token, by which bits/token become bits/byte. Needs tokenizers (extra
    `text`).

    Arguments:
        source: Name of the data set with the documents: `text-files`, `python-docs`, `imdb`, or
            another of text that is not transformed.
        tokenizer_file: The file `tokenizer.json` of a model on the Hugging Face hub; relative to
            the suite, `~` is the home directory.
        vocabulary: Number of tokens that the model knows, `vocab_size` in its `config.json`; often
            more than the tokenizer has.
        length: Length of a window in tokens.

    Raises:
        DataError: The source has no documents.
    """

    name = "tokenized"
    unit = "token"

    source: Dataset
    tokenizer_file: Path
    vocabulary: Annotated[int, Field(ge=2, le=2**32)]

    def __post_init__(self) -> None:
        if not isinstance(self.source, Documents) or isinstance(self.source, Tokenized):
            raise DataError("tokenized: the source has no documents of text")
        self.texts = self.source
        self.domain = Tokens(self.length, self.vocabulary)
        self.tokenizer_file = self.tokenizer_file.expanduser()

    @property
    def document(self) -> str:
        """Word of the source for a document."""
        return self.texts.document

    @property
    def splits(self) -> tuple[str, ...]:
        """Splits of the source."""
        return self.texts.splits

    @property
    def where(self) -> str:
        """Place of the documents, for messages."""
        return f"{self.name}: {self.texts.where}"

    def documents(self, split: str) -> Iterable[bytes]:
        """Return the documents of the source."""
        return self.texts.documents(split)

    def notes(self) -> list[str]:
        """Return a note on documents and windows, and one on the bytes of a token.

        Raises:
            MissingDataError: The documents or the tokenizer are not on this machine.
            DataError: A document cannot be read.
        """
        return [*super().notes(), self._bytes_note()]

    def stamp(self) -> str:
        """Hash the stamp of the source and the tokenizer.

        Raises:
            MissingDataError: The source or the tokenizer is missing.
            DataError: A file cannot be read.
        """
        texts = self.texts.stamp() if isinstance(self.texts, HasStamp) else ""
        tokenizer = hashlib.sha256(self._tokenizer_json()).hexdigest()
        return hashlib.sha256(f"{texts}\0{tokenizer}".encode()).hexdigest()

    def _drops_copies(self) -> bool:
        return self.texts._drops_copies()

    def _bytes_note(self) -> str:
        """Tell the mean number of bytes of a token, over all windows of the last split.

        The bytes of a window reach to the next window, so that blanks between tokens count.
        """
        split, counts = self.splits[-1], np.zeros(2, np.int64)
        for document in self.documents(split):
            text = document.decode("utf-8", "replace")
            offsets = self._encoding(text).offsets
            whole = len(offsets) // self.length * self.length
            end = offsets[whole][0] if whole < len(offsets) else len(text)
            counts += (len(text[:end].encode()), whole) if whole else (0, 0)
        ratio = f"{counts[0] / counts[1]:.3f}"
        return (
            f"a token of the {split} split has {ratio} bytes on average: bits/token divided by "
            f"{ratio} are bits/byte"
        )

    def _encoding(self, text: str) -> Any:
        return self._tokenizer.encode(text, add_special_tokens=False)

    def _encoded(self, document: bytes) -> NDArray[np.unsignedinteger[Any]]:
        text = document.decode("utf-8", "replace")
        tokens = np.array(self._encoding(text).ids, np.int64)
        if tokens.max(initial=0) >= self.vocabulary:
            raise DataError(
                f"{self.tokenizer_file}: token {tokens.max()} is not in a vocabulary of "
                f"{self.vocabulary:,}"
            )
        return tokens.astype(self.domain.dtype)

    @cached_property
    def _tokenizer(self) -> Any:
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise MissingDataError(
                "tokenized needs tokenizers: install the extra text of oodbench"
            ) from error
        with data_errors(f"{self.tokenizer_file}: cannot be read as a tokenizer"):
            return Tokenizer.from_str(self._tokenizer_json().decode())

    def _tokenizer_json(self) -> bytes:
        if not self.tokenizer_file.exists():
            raise MissingDataError(
                f"{self.tokenizer_file} does not exist; `hf download MODEL tokenizer.json "
                f"--local-dir {self.tokenizer_file.parent}` downloads that of a model"
            )
        check_file(self.tokenizer_file, MOST_TEXT)
        return read_bytes(self.tokenizer_file)
