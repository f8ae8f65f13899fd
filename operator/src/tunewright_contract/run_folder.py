"""`tunewright-run.json`: the owner of a folder with checkpoints or an unfinished model, and the entries that this job created.

The trainer writes it before any other file. `tunewright delete` removes only the files that a manifest with the job's uid lists.
"""

from typing import Literal

from tunewright_contract.base import Message

RUN_MANIFEST_NAME = "tunewright-run.json"


class RunFolder(Message):
    """`entries` are patterns (`fnmatch`) of paths relative to the folder, such as `checkpoints/checkpoint-*`.

    Of a folder with a MANIFEST.json, only the files that are listed there belong to the job; any other folder belongs to it as a whole.
    """

    api_version: Literal["tunewright.io/run/v1"] = "tunewright.io/run/v1"
    namespace: str
    job: str
    uid: str
    revision: str
    entries: list[str]
