"""RabbitMQ and Kafka on loopback, for tests and for trying out: `python3 -m brokers --help`.

Only the standard library is needed, so that the system's Python can run it. Everything that a broker keeps (data, log,
cookie, jars) is in one folder, `TRADEPOST_BROKERS`, by default `.brokers` in the project.
"""
