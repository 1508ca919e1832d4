"""Scenarios of joint and single-task runs as one resumable graph of runs."""
