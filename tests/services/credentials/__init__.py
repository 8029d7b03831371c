"""Tests of the credential service."""
