"""The variables with which clients ask the credential service."""

from __future__ import annotations

from pathlib import Path

from scalablehub.storage.credentials import CONFLICTING, credential_environment


def test_the_variables_name_the_address_and_the_file_and_hold_no_secret() -> None:
    assert credential_environment("http://127.0.0.1:10102/services/credentials/", Path("/run/token")) == {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:10102/services/credentials/aws/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/run/token",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def test_no_variable_of_ours_is_among_those_that_go_before_it() -> None:
    assert not set(credential_environment("http://127.0.0.1:1", Path("/t"))) & set(CONFLICTING)
