"""Word error rate: substitutions, deletions and insertions of words per word that was said.

Levenshtein 1966, "Binary codes capable of correcting deletions, insertions and reversals".
Words are what white space divides; case and punctuation count unless `normalise` is given. All
utterances are counted together, as jiwer, Kaldi and sclite do. Insertions may raise it above 100.

On files, Kaldi's text, TRN or plain lines: python -m metrics.wer UNDERSTOOD SAID
"""

from metrics.blocks.events.edits import Edits

__all__ = ["WER"]


class WER(Edits):
    """Edits of words per word that was said, in percent; less is better.

    normalise: Leave case, punctuation and compatible forms of Unicode out of account.
    resamples: Of the bootstrap over utterances that gives the interval; 0: no interval.
    """

    headline = "wer"
    counted = "words"

    def units(self, text: str) -> list[str]:
        """The words of an utterance."""
        return text.split()


if __name__ == "__main__":
    from metrics.cli.command import main

    main(WER)
