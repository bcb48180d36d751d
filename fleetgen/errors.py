"""What can go wrong, and the exit code of each."""


class FleetgenError(Exception):
    """A fault that is told to the user in one message, without a traceback."""

    exit_code = 70


class ConfigError(FleetgenError):
    """The configuration or the command line cannot be used."""

    exit_code = 2


class StorageError(FleetgenError):
    """The output cannot be written, or holds another plan."""

    exit_code = 3


class SimulationError(FleetgenError):
    """The model reached an impossible value."""

    exit_code = 4


class ClusterError(FleetgenError):
    """The scheduler or its workers failed."""

    exit_code = 5
