"""Which environment variables make S3 clients ask the credential service for their keys.

The protocol is Amazon's for containers: botocore (boto3, s3fs, the AWS CLI), the Rust object_store crate
(obstore), the C++ SDK (pyarrow) and the Go SDK speak it, renew by themselves, and read the token's file again
each time. Sources: "Container credential provider" in Amazon's SDK reference, and those clients' code.
"""

from __future__ import annotations

from pathlib import Path

AUDIENCE = "scalablehub-credentials"
"""Whom the tokens are for that processes ask with: the credential service, and nobody else."""

CONFLICTING = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
)
"""Variables that go before the service in one client or another: they must not be set beside it."""


GOOGLE_CONFLICTING = ("GOOGLE_APPLICATION_CREDENTIALS", "STORAGE_EMULATOR_HOST", "NO_GCE_CHECK")
"""The same for Google's clients."""


def google_environment(metadata_host: str, project: str) -> dict[str, str]:
    """Return the variables with which Google's clients have their tokens from the service.

    The protocol is that of a machine of Google's cloud: google-auth (gcsfs, google-cloud-storage),
    object_store (obstore), Arrow (pyarrow) and Go's library (rclone) speak it, and renew by themselves.

    Args:
        metadata_host: host, port and path of the service or of a forwarder, without a scheme.
        project: that clients name.
    """
    return {
        "GCE_METADATA_HOST": metadata_host,
        # google-auth looks here whether it is on such a machine, and gcsfs is anonymous if it is not.
        "GCE_METADATA_IP": metadata_host,
        "GCE_METADATA_ROOT": metadata_host,
        "GOOGLE_CLOUD_PROJECT": project,
        # gcsfs asks the API of folders too, which a token that is narrowed to objects may not.
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
    }


def credential_environment(service_url: str, token_file: Path) -> dict[str, str]:
    """Return the variables with which a process has its keys from the service, and from nowhere else.

    Args:
        service_url: of the service, on loopback: clients send tokens over plain HTTP nowhere else. With or
            without a slash at its end.
        token_file: the server's own token, without a line break.
    """
    return {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{service_url.rstrip('/')}/aws/credentials",
        # obstore takes the address only together with a file.
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token_file),
        # When the service is away clients would go on to ask the machine, and take its role.
        "AWS_EC2_METADATA_DISABLED": "true",
    }
