"""The trainer: `python -m tunewright_trainer check | launch | train | export`, one stage of a FineTuneJob each.

It reads a `TrainerConfig` and the variables of `tunewright_contract.environment`, and ends with an exit code and a termination message of
the contract. It decides nothing: it executes the configuration, or refuses it with a reason.
"""
