"""The command line of the brokers; `make rabbitmq`, `make kafka` and `make stop-brokers` call it."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from brokers import kafka, rabbitmq
from brokers.node import Node, NodeError
from brokers.packages import PackageError

FOLDER: Final = Path(__file__).parents[1] / ".brokers"
EPILOGUE: Final = """\
TRADEPOST_BROKERS   the folder of everything that they keep (.brokers in the project)
RABBITMQ_PORT       5672; the three ports above it are taken too (distribution, port mapper, HTTP API)
KAFKA_PORT          9092; the port above it is the controller's

examples:
  python3 -m brokers rabbitmq start
  KAFKA_PORT=19092 TRADEPOST_BROKERS=/tmp/second python3 -m brokers kafka start
  python3 -m brokers all stop"""
ACTIONS: Final = {
    "start": "install what is missing, start the node, and return when it answers",
    "stop": "end it in order",
    "kill": "end it by SIGKILL; its data stays",
    "pause": "freeze it by SIGSTOP",
    "resume": "let it go on",
    "status": "say whether it runs; the exit code is 3 when it doesn't",
    "hold": "kill it as soon as standard input ends, so that it doesn't outlive who started it",
}


def nodes(environment: Mapping[str, str] = os.environ) -> Mapping[str, Node]:
    """The nodes that the environment names, by their names."""
    folder = Path(environment.get("TRADEPOST_BROKERS") or FOLDER).absolute()
    return {
        "rabbitmq": rabbitmq.node(folder / "rabbitmq", int(environment.get("RABBITMQ_PORT") or rabbitmq.PORT)),
        "kafka": kafka.node(folder / "kafka", int(environment.get("KAFKA_PORT") or kafka.PORT)),
    }


def main() -> int:
    """The exit code: 0, 1 when it could not be done, 3 when a node asked for its status doesn't run."""
    asked = _parser().parse_args()
    try:
        return max(
            _perform(asked.action, name, node) for name, node in nodes().items() if asked.broker in (name, "all")
        )
    except (NodeError, PackageError) as error:
        print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python3 -m brokers",
        description="RabbitMQ and Kafka on loopback, for tests and for trying out.",
        epilog="\n".join(f"{action:<19} {said}" for action, said in ACTIONS.items()) + "\n\n" + EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("broker", choices=("rabbitmq", "kafka", "all"))
    parser.add_argument("action", choices=tuple(ACTIONS))
    return parser


def _perform(action: str, name: str, node: Node) -> int:
    actions: Mapping[str, Callable[[], None]] = {
        "start": lambda: _start(name, node),
        "stop": lambda: print(f"{node.name} is stopped" if node.stop() else f"{node.name} did not run"),
        "kill": node.kill,
        "pause": node.pause,
        "resume": node.resume,
        "status": lambda: print(f"{node.name} {f'runs, process {node.pid}' if node.pid else 'does not run'}"),
        "hold": lambda: _hold(node),
    }
    actions[action]()
    return 3 if action == "status" and node.pid is None else 0


def _start(name: str, node: Node) -> None:
    if name == "rabbitmq":
        rabbitmq.install()
    else:
        kafka.install(kafka.jars_in(node.folder.parent))
    print(f"{node.name} is starting ..." if node.pid is None else f"{node.name} runs already", flush=True)
    began = time.monotonic()
    if node.start():
        print(f"{node.name} answers at {node.address} after {time.monotonic() - began:.1f} s")
    else:
        print(f"{node.name} answers at {node.address}")


def _hold(node: Node) -> None:
    sys.stdin.buffer.read()
    node.kill()
    node.clear()


if __name__ == "__main__":
    sys.exit(main())
