"""What is promised of events, whatever carries them: the same tests on the log, on RabbitMQ and on Kafka."""
