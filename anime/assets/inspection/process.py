"""The program that looks into files for a sweep: questions on stdin, answers on stdout.

    python -m anime.assets.inspection.process

Both are pickles of our own, each after its length. It ends with its standard input.
"""

import gc
import os
import pickle
import sys
from typing import BinaryIO

from anime.assets.inspection.content import read_files
from anime.assets.inspection.pool import LENGTH
from anime.assets.limited_process import limit_this_process
from anime.core.sweep_plan import ScannedFile


def answer_all(questions: BinaryIO, answers: BinaryIO) -> None:
    """Answer every question until there are no more."""
    while len(head := questions.read(LENGTH.size)) == LENGTH.size:
        asked = pickle.loads(questions.read(LENGTH.unpack(head)[0]))  # noqa: S301  of our parent
        answer = pickle.dumps(read_files([ScannedFile(*each) for each in asked]), protocol=5)
        answers.write(LENGTH.pack(len(answer)) + answer)
        answers.flush()


if __name__ == "__main__":
    with os.fdopen(os.dup(1), "wb") as answers:
        limit_this_process()
        gc.freeze()  # or its thousands of lasting objects would be looked at again and again
        os.dup2(2, 1)  # whatever a library prints must not get between the answers
        answer_all(sys.stdin.buffer, answers)
