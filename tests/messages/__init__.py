"""Tests of messages: what the caller has, as an envelope and mail data."""
