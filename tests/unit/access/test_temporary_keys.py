"""Temporary keys: who has one passes, until its time, and nobody else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outfitter_server.access.claims import SignatureRefused
from outfitter_server.access.sessions import Session, make_session, read_session
from outfitter_server.access.signature import Credentials
from outfitter_server.base.installation import Installation
from outfitter_server.services.callers import Callers

ROOT = Credentials(access_key_id="ROOT", secret_access_key="the root's secret")
NOW = 1_795_450_000_000
SESSION = Session(arn="arn:aws:sts::000000000000:assumed-role/worker/a function", expires_at=NOW + 1000)
MADE = make_session(ROOT, SESSION, "nonce")


def refusal(*given):
    with pytest.raises(SignatureRefused) as caught:
        read_session(*given)
    return caught.value.code


def test_a_token_brings_back_its_key():
    assert read_session(ROOT, MADE.access_key_id, MADE.session_token, NOW) == (MADE, SESSION)
    assert MADE.access_key_id.startswith("ASIA")
    assert len(MADE.access_key_id) == 20
    assert ROOT.secret_access_key not in MADE.session_token + MADE.secret_access_key


def test_each_session_has_a_key_of_its_own():
    other = make_session(ROOT, SESSION, "other")
    assert other.access_key_id != MADE.access_key_id
    assert other.secret_access_key != MADE.secret_access_key
    assert refusal(ROOT, other.access_key_id, MADE.session_token, NOW) == "InvalidToken"


def test_it_ends():
    assert refusal(ROOT, MADE.access_key_id, MADE.session_token, SESSION.expires_at) == "ExpiredToken"


def test_it_ends_with_the_root_key():
    other = Credentials(access_key_id="ROOT", secret_access_key="another secret")
    assert refusal(other, MADE.access_key_id, MADE.session_token, NOW) == "InvalidToken"


@given(at=st.integers(0, len(MADE.session_token) - 1), character=st.characters())
def test_no_other_token_passes(at, character):
    token = MADE.session_token[:at] + character + MADE.session_token[at + 1 :]
    if token != MADE.session_token:
        assert refusal(ROOT, MADE.access_key_id, token, NOW) == "InvalidToken"


@given(st.text())
def test_nonsense_is_refused(token):
    assert refusal(ROOT, MADE.access_key_id, token, NOW) == "InvalidToken"


def test_callers_lend_keys():
    callers = Callers(ROOT, Installation(), lambda: NOW)
    lent = callers.lend("arn:me", 60, "nonce")
    assert callers.credentials(lent.access_key_id, lent.session_token) == lent
    assert callers.caller(lent.access_key_id, lent.session_token).arn == "arn:me"
    assert callers.caller(lent.access_key_id) is None
    assert callers.credentials("ASIAOTHER") is None
