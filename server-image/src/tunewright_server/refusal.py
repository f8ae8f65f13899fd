"""A reason not to start, as a type of the contract."""

from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.reports import Failure


class RefusalError(Exception):
    """The server will not start. `reason` is CamelCase and stable; `suggestion` is the way out."""

    def __init__(self, reason: str, message: str, *, suggestion: str, exit_code: ExitCode = ExitCode.CONFIGURATION) -> None:
        super().__init__(message)
        self.reason = reason
        self.suggestion = suggestion
        self.exit_code = exit_code

    def about(self, subject: str) -> "RefusalError":
        """Return the same refusal with its subject first."""
        return RefusalError(self.reason, f"{subject}: {self}", suggestion=self.suggestion, exit_code=self.exit_code)

    @property
    def failure(self) -> Failure:
        return Failure(reason=self.reason, message=str(self), suggestion=self.suggestion)


def self_test_failed(message: str) -> RefusalError:
    """Return the refusal of a model that does not run."""
    suggestion = "export the model again; the parity check of that stage shows the fault"
    return RefusalError("SelfTestFailed", message, suggestion=suggestion, exit_code=ExitCode.DATA)


def smoke_test_failed(message: str) -> RefusalError:
    """Return the refusal of a model whose answer to `serving.smokeTest` is wrong."""
    suggestion = "correct serving.smokeTest, or train a model that answers it"
    return RefusalError("SmokeTestFailed", message, suggestion=suggestion, exit_code=ExitCode.DATA)
