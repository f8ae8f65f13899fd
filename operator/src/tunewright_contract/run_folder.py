"""`tunewright-run.json`: the owner of a folder with checkpoints or an unfinished model, and the entries that this job created.

The trainer writes it before anything else. `tunewright delete` removes what a manifest with the job's uid lists, and nothing else.
"""

from typing import Literal

from tunewright_contract.base import Message

RUN_MANIFEST_NAME = "tunewright-run.json"


class RunFolder(Message):
    """`entries` are patterns (`fnmatch`) of paths relative to the folder, such as `checkpoints/checkpoint-*`.

    A folder among them that has a MANIFEST.json of its own holds only the files that are listed there; any other is the job's as a whole.
    """

    api_version: Literal["tunewright.io/run/v1"] = "tunewright.io/run/v1"
    namespace: str
    job: str
    uid: str
    revision: str
    entries: list[str]
