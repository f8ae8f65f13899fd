"""The environment variables of a pod's paths and addresses.

Every path that a container uses is in one of these variables, never in a configuration file. So the same pod runs in a cluster, where paths
are mounts, and on one machine, where they are folders.
"""

CONFIG = "TUNEWRIGHT_CONFIG"  # file: the TrainerConfig as JSON
MODEL_DIR = "TUNEWRIGHT_MODEL_DIR"  # folder: the base model (trainer, when the source is a folder) or the model to serve (server)
DATA_DIR = "TUNEWRIGHT_DATA_DIR"  # folder: DataFile.path is relative to it
MODEL_DIRS = "TUNEWRIGHT_MODEL_DIRS"  # folders, separated like PATH: several models for one server, instead of MODEL_DIR
OUTPUT_DIR = "TUNEWRIGHT_OUTPUT_DIR"  # folder: this revision's checkpoints/, final/ and metrics.jsonl
PUBLISH_DIR = "TUNEWRIGHT_PUBLISH_DIR"  # folder: the finished model folder appears here atomically
TERMINATION_LOG = "TUNEWRIGHT_TERMINATION_LOG"  # file: the termination message of this process
HOST = "TUNEWRIGHT_HOST"  # address the server listens on
PORT = "TUNEWRIGHT_PORT"  # port the server listens on
MODEL_NAME = "TUNEWRIGHT_MODEL_NAME"  # the name that clients send as `model`
MAX_SLOTS = "TUNEWRIGHT_MAX_SLOTS"  # requests decoded together, or texts in one run of an encoder
MAX_LENGTH = "TUNEWRIGHT_MAX_LENGTH"  # tokens per request: prompt and answer together, or source and target each
EXECUTION_PROVIDERS = "TUNEWRIGHT_EXECUTION_PROVIDERS"  # comma-separated, e.g. `CUDA,CPU`
API_KEY = "TUNEWRIGHT_API_KEY"  # the key that clients send as `Authorization: Bearer …`; absent: no key is needed
SMOKE_TEST = "TUNEWRIGHT_SMOKE_TEST"  # the SmokeTest as JSON; absent: none
QUEUE_SECONDS = "TUNEWRIGHT_QUEUE_SECONDS"  # how long a request may wait for its first row of the cache
DRAIN_SECONDS = "TUNEWRIGHT_DRAIN_SECONDS"  # how long requests in flight may continue after SIGTERM

# Kubeflow Trainer's progress protocol (its proposal 2779), which transformers >= 5.4 implements.
PROGRESS_URL = "KUBEFLOW_TRAINER_SERVER_URL"
PROGRESS_TOKEN_FILE = "KUBEFLOW_TRAINER_SERVER_TOKEN"  # noqa: S105 - the name of a file, not a secret
PROGRESS_CA_FILE = "KUBEFLOW_TRAINER_SERVER_CA_CERT"
