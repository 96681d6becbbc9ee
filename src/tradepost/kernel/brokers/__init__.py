"""The log carried further: envelope, and one transport each for RabbitMQ and Kafka."""
