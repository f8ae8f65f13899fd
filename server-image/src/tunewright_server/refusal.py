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
        """Return the same refusal, which names its subject first."""
        return RefusalError(self.reason, f"{subject}: {self}", suggestion=self.suggestion, exit_code=self.exit_code)

    @property
    def failure(self) -> Failure:
        return Failure(reason=self.reason, message=str(self), suggestion=self.suggestion)
