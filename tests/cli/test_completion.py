"""Completion by a real bash, with the script that `tunewright completion bash` prints; and by kubectl, through its program for plugins.

zsh is tested where it is installed.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(sys.executable).parent
BASH = """
source <(tunewright completion bash)
COMP_WORDS=({words}) COMP_CWORD={index}
_tunewright_completion tunewright
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}", "TUNEWRIGHT_HOME": str(home), "KUBECONFIG": "/nonexistent"}


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["re"], {"resume", "retry"}),
        (["logs", "support-bot", "--stage", ""], {"check", "train", "export", "serve"}),
        (["describe", "sup"], {"support-bot"}),
    ],
    ids=["commands", "stages", "jobs"],
)
def test_bash_completes(home, stored, words, completed):
    stored()
    line = BASH.format(words=" ".join(["tunewright", *(word or "''" for word in words)]), index=len(words))
    ended = subprocess.run(["bash", "--norc", "-c", line], env=environment(home.layout.home), capture_output=True, text=True, check=True)
    assert (set(ended.stdout.split()), ended.stderr) == (completed, "")


def test_zsh_reads_the_script(home):
    zsh = shutil.which("zsh") or pytest.skip("zsh is not installed")
    line = "autoload -Uz compinit; compinit -u -D; source <(tunewright completion zsh); print ${_comps[tunewright]}"
    ended = subprocess.run([zsh, "-f", "-c", line], env=environment(home.layout.home), capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "_tunewright_completion"


def test_kubectl_completes_the_plugin_and_a_missing_cluster_completes_nothing(home):
    program = [str(PROGRAMS / "kubectl_complete-tunewright")]
    assert said([*program, "sus"], home) == ["suspend", ":4"]
    assert said([*program, "describe", ""], home) == [":4"]


def said(command: list[str], home) -> list[str]:
    return subprocess.run(command, env=environment(home.layout.home), capture_output=True, text=True, check=True).stdout.split()
