"""Everything that fuzzing kept, once more: what was found stays mended."""

from pathlib import Path

import pytest
from fuzzing import TARGETS, target

CORPUS = Path(__file__).parent / "corpus"
BYTES_MAX = 96 * 1024  # of one target: a corpus is for reaching the code, and a repository is no archive


@pytest.mark.parametrize("name", TARGETS)
def test_what_fuzzing_kept_breaks_no_promise(name):
    found = sorted((CORPUS / name).iterdir())
    assert found, f"{name} has no corpus"
    for path in found:
        try:
            target(name)(path.read_bytes())
        except BaseException as error:
            error.add_note(f"the bytes are those of {path.relative_to(CORPUS)}")
            raise


def test_each_corpus_is_of_a_target_and_small():
    sizes = {
        folder.name: sum(path.stat().st_size for path in folder.iterdir()) for folder in CORPUS.iterdir()
    }
    assert sizes.keys() == set(TARGETS)
    assert max(sizes.values()) <= BYTES_MAX, sizes
