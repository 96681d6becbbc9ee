"""Kafka as the transport: a topic for each publisher, and the offsets in the consumers' databases."""

from tradepost.kernel.brokers.kafka.broker import Kafka, open_broker

__all__ = ["Kafka", "open_broker"]
