"""Character error rate: substitutions, deletions and insertions per character that was said.

Levenshtein 1966, "Binary codes capable of correcting deletions, insertions and reversals".
Spaces within an utterance are characters, those around it are not, as in jiwer; a character is a
code point of Unicode. Case and punctuation count unless `normalise` is given. All utterances are
counted together. Insertions may raise it above 100.

On files, Kaldi's text, TRN or plain lines: python -m metrics.cer UNDERSTOOD SAID
"""

from metrics.blocks.events.edits import Edits

__all__ = ["CER"]


class CER(Edits):
    """Edits of characters per character that was said, in percent; less is better.

    normalise: Leave case, punctuation and compatible forms of Unicode out of account.
    resamples: Of the bootstrap over utterances that gives the interval; 0: no interval.
    """

    headline = "cer"
    counted = "characters"

    def units(self, text: str) -> str:
        """The characters of an utterance."""
        return text.strip()


if __name__ == "__main__":
    from metrics.cli.command import main

    main(CER)
