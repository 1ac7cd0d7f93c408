"""The version of lossproof."""

VERSION = "0.1.0"
