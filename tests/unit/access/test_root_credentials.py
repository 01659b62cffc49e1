import stat

import pytest
from outfitter_server.access.signature import Credentials
from outfitter_server.base.installation import Installation
from outfitter_server.keys.credentials import CredentialsUnusable, root_credentials
from outfitter_server.services.callers import Callers

NAMED = {"OUTFITTER_ROOT_ACCESS_KEY_ID": "ROOT", "OUTFITTER_ROOT_SECRET_ACCESS_KEY": "s3cr3t/%=="}


def test_a_new_folder_gets_a_key_at_random_that_stays(tmp_path):
    folder = tmp_path / "data"
    first = root_credentials(folder, {})
    assert first.access_key_id.startswith("AKIA")
    assert len(first.secret_access_key) == 40
    assert root_credentials(folder, {}) == first
    assert root_credentials(folder, NAMED) == first
    assert root_credentials(tmp_path / "other", {}) != first
    assert sorted(path.name for path in folder.iterdir()) == ["credentials"]


def test_a_new_folder_takes_the_key_that_the_environment_names(tmp_path):
    assert root_credentials(tmp_path, NAMED) == Credentials(
        access_key_id="ROOT", secret_access_key="s3cr3t/%=="
    )
    assert root_credentials(tmp_path, {}).access_key_id == "ROOT"


def test_the_file_is_its_owners_alone_and_aws_tools_read_it(tmp_path, monkeypatch):
    key = root_credentials(tmp_path, {})
    path = tmp_path / "credentials"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    root_credentials(tmp_path, {})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    import botocore.session

    found = botocore.session.Session().get_credentials()
    assert (found.access_key, found.secret_key) == (key.access_key_id, key.secret_access_key)


@pytest.mark.parametrize("text", ["", "nonsense", "[default]\naws_access_key_id = A\n", "[other]\n"])
def test_a_file_that_holds_no_key_is_told(tmp_path, text):
    (tmp_path / "credentials").write_text(text)
    with pytest.raises(CredentialsUnusable, match="must hold a section"):
        root_credentials(tmp_path, {})


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"OUTFITTER_ROOT_ACCESS_KEY_ID": "ROOT"}, "set both"),
        ({**NAMED, "OUTFITTER_ROOT_ACCESS_KEY_ID": "a/b/c"}, "letters, digits"),
        ({**NAMED, "OUTFITTER_ROOT_SECRET_ACCESS_KEY": "short"}, "visible ASCII"),
        ({**NAMED, "OUTFITTER_ROOT_SECRET_ACCESS_KEY": "with\nline-break"}, "visible ASCII"),
    ],
)
def test_an_environment_that_names_no_usable_key_is_told(tmp_path, environment, message):
    with pytest.raises(CredentialsUnusable, match=message):
        root_credentials(tmp_path, environment)
    assert list(tmp_path.iterdir()) == []


def test_callers_know_the_root_key_only():
    root = Credentials(access_key_id="ROOT", secret_access_key="secret")
    callers = Callers(root, Installation(account="123456789012"))
    assert callers.credentials("ROOT") is root
    assert callers.root() is root
    assert callers.caller("ROOT").arn == "arn:aws:iam::123456789012:root"
    assert callers.credentials("OTHER") is None
    assert callers.caller("OTHER") is None
